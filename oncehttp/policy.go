package oncehttp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/onlyonce-go/onlyonce"
)

// KeyUse decides whether requests need a key.
type KeyUse uint8

// The uses of keys.
const (
	// KeyInherit leaves the choice to the wider policy, in the end to KeyOptional. For GET, HEAD, OPTIONS, TRACE and CONNECT it is
	// KeyIgnored, unless the policy of a route has another Key.
	KeyInherit KeyUse = iota
	// KeyOptional protects requests with a key and lets others through, unprotected.
	KeyOptional
	// KeyRequired rejects requests without a key.
	KeyRequired
	// KeyIgnored protects no request.
	KeyIgnored
)

// The defaults of a Policy.
const (
	// DefaultMaxRequest is the largest body of a keyed request, in bytes.
	DefaultMaxRequest = 1 << 20
	// mostMaxRequest is the largest MaxRequest.
	mostMaxRequest = 1 << 30
)

// RecoverFunc finds out what became of a run whose outcome is unknown: see onlyonce.RecoverFunc for when it is called and what becomes of
// its result. The request is a copy of the duplicate's, with its body, which is equal to the request of the run. The function returns
// [FindingOf] the answer that the caller should have got, onlyonce.DidNotHappen or onlyonce.StillUnknown.
//
// Package reconcile calls the function without a duplicate. The request is then the one that the record keeps, with its host and the
// headers of Policy.RequestHeaders. It is nil if Policy.KeepRequest is not set or the request was larger.
type RecoverFunc func(ctx context.Context, r *http.Request, rec onlyonce.Record) (onlyonce.Finding, error)

// Policy decides how requests are treated. A field that is zero is taken from the next of these that sets it: the policy of WithRoute, the
// policy of WithPolicy, that of a preset, the engine's, and what is built in.
type Policy struct { //nolint:recvcheck // values are merged, and the rest need not copy
	// Policy is the part without a transport: guarantee, retention, lease, longest run, wait, fail-open and the rest.
	onlyonce.Policy

	// Key decides whether requests need a key. The default is KeyOptional.
	Key KeyUse
	// KeyRules decides which keys are accepted; nil inherits. The default is the contract's rule, 1 to 255 printable ASCII characters.
	KeyRules *onlyonce.KeyRules
	// Classes replaces the class of single statuses, 200 to 999. The others are as in the wider policy, and in the end as in the
	// contract: 2xx, 3xx and 4xx are definite, except 408, 409, 425 and 429. These four and 5xx are ambiguous. A handler overrides the
	// class with [NotExecuted] and [Final].
	Classes map[int]onlyonce.Class
	// MaxRequest is the largest body of a keyed request, in bytes. A larger body is refused with 413, and nothing runs. The default is
	// 1 MiB; the range is 1 byte to 1 GiB. The whole body is in memory while the request is served.
	MaxRequest int64
	// RequestHeaders are the headers that belong to the request, in addition to its method, path, query and body. The same key with another
	// value of such a header is rejected with IDEMPOTENCY_KEY_REUSED. The default is Content-Type and Content-Encoding; nil inherits, and an
	// empty list that is not nil means none. Host is that of http.Request.Host.
	RequestHeaders []string
	// Canonical returns the form of a body in which it is compared, for example the canonical form of JSON (RFC 8785): see the module
	// canonicaljson. The second result is false for a body that it does not know; such a body is compared byte by byte. Two requests with
	// the same form are the same request. Nil inherits, and in the end all bodies are compared byte by byte. It must be safe for concurrent
	// use, and must not modify its arguments.
	Canonical func(header http.Header, body []byte) ([]byte, bool)
	// Recover finds out what became of a run whose outcome is unknown; nil inherits, and in the end nobody knows. It needs a store that can
	// settle records: see onlyonce.Engine.CanResolve.
	Recover RecoverFunc
}

func (p Policy) over(wider Policy) Policy {
	merged := Policy{
		Policy: p.Policy.Over(wider.Policy), Key: p.Key, KeyRules: p.KeyRules, Classes: wider.Classes, MaxRequest: p.MaxRequest,
		RequestHeaders: p.RequestHeaders, Canonical: p.Canonical, Recover: p.Recover,
	}

	if merged.Key == KeyInherit {
		merged.Key = wider.Key
	}

	if merged.KeyRules == nil {
		merged.KeyRules = wider.KeyRules
	}

	if len(p.Classes) > 0 {
		merged.Classes = make(map[int]onlyonce.Class, len(p.Classes)+len(wider.Classes))
		maps.Copy(merged.Classes, wider.Classes)
		maps.Copy(merged.Classes, p.Classes)
	}

	if merged.MaxRequest == 0 {
		merged.MaxRequest = wider.MaxRequest
	}

	if merged.RequestHeaders == nil {
		merged.RequestHeaders = wider.RequestHeaders
	}

	if merged.Canonical == nil {
		merged.Canonical = wider.Canonical
	}

	if merged.Recover == nil {
		merged.Recover = wider.Recover
	}

	return merged
}

// builtinPolicy returns the defaults of all fields.
func builtinPolicy() Policy {
	return Policy{MaxRequest: DefaultMaxRequest, RequestHeaders: []string{contentType, contentEncoding}}
}

// validate reports every invalid field, with the name of the policy. Fields that have a default must be set.
func (p *Policy) validate(engine *onlyonce.Engine, preset *Preset, subject string) error {
	var errs []error

	addf := func(format string, args ...any) { errs = append(errs, fmt.Errorf("oncehttp: "+format, args...)) }

	if err := engine.Validate(p.Policy); err != nil {
		errs = append(errs, err)
	}

	if p.Key > KeyIgnored {
		addf("Key is %d: give KeyOptional, KeyRequired or KeyIgnored", p.Key)
	}

	if p.MaxRequest < 1 || p.MaxRequest > mostMaxRequest {
		addf("MaxRequest is %d: give 1 to %d bytes", p.MaxRequest, mostMaxRequest)
	}

	if p.Recover != nil && !engine.CanResolve() {
		errs = append(errs, errors.New("oncehttp: Recover is set, and the store cannot settle records: use a store that is a store.Inspector"))
	}

	if engine.Policy(p.Policy).Shadow == onlyonce.ShadowOn {
		addf("Shadow is ShadowOn, and requests of net/http have no shadow mode: give ShadowOff")
	}

	for _, name := range p.RequestHeaders {
		if !isToken(name) {
			addf("RequestHeaders has %q, which is no name of a header", name)
		}
	}

	for _, status := range slices.Sorted(maps.Keys(p.Classes)) {
		if class := p.Classes[status]; status < lowestFinal || status > highestStatus || class > onlyonce.ClassNotExecuted {
			addf("Classes makes %d %v: give a class of package onlyonce to statuses from %d to %d", status, class, lowestFinal, highestStatus)
		}
	}

	if p.KeyRules != nil {
		if err := p.KeyRules.Validate(); err != nil {
			errs = append(errs, err)
		}
	}

	if whole := engine.Policy(p.Policy); p.timed(preset) && whole.ErrorRetention < whole.KeyLife {
		addf("ErrorRetention is %v and a key may make a record for KeyLife, which is %v, so a key could run again: "+
			"give at least KeyLife, or a shorter KeyLife", whole.ErrorRetention, whole.KeyLife)
	}

	if len(errs) == 0 {
		return nil
	}

	return fmt.Errorf("%s: %w", subject, errors.Join(errs...))
}

// timed reports whether requests have the time of their key or of their first attempt.
func (p *Policy) timed(preset *Preset) bool {
	return preset.firstSent || p.KeyRules != nil && p.KeyRules.TimeOrdered
}

// classOf returns the class of an answer by its status.
func (p *Policy) classOf(status int) onlyonce.Class {
	if class, ok := p.Classes[status]; ok {
		return class
	}

	switch {
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly,
		status == http.StatusTooManyRequests:
		return onlyonce.ClassAmbiguous
	case status >= lowestFinal && status < http.StatusInternalServerError:
		return onlyonce.ClassDefinite
	default:
		return onlyonce.ClassAmbiguous
	}
}
