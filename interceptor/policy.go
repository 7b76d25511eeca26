package interceptor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
)

// KeyUse decides whether calls of a method need a key.
type KeyUse uint8

// The uses of keys.
const (
	// KeyInherit takes the KeyUse of the wider policy. The default of all policies is KeyOptional.
	KeyInherit KeyUse = iota
	// KeyOptional protects calls with a key. Calls without a key run unprotected.
	KeyOptional
	// KeyRequired rejects calls without a key with IDEMPOTENCY_KEY_MISSING.
	KeyRequired
	// KeyIgnored protects no call of the method, whether or not it has a key. Methods that declare idempotency_level = NO_SIDE_EFFECTS have
	// it: see https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto. If WithMethodPolicy, or the method's
	// own option, requires a key for such a method, its calls are refused.
	KeyIgnored
)

// Policy decides how the calls of a method are treated. A field that is zero is taken from the next of these policies that sets it:
//
//  1. WithMethodPolicy, then WithServicePolicy, then WithPolicy,
//  2. the declaration of the method, then the option (onlyonce.v1.method) in its .proto,
//  3. the declaration of the service, then the option (onlyonce.v1.service) in its .proto,
//  4. the engine, then the built-in defaults.
//
// So the author of a service declares in its .proto what clients and servers can rely on. An operator can override the .proto in the
// program of the server. Clients read the .proto too, so [Server.Validate] reports where an option for many methods weakens the .proto of
// one. For defaults that the .proto overrides, use the policy of the engine.
type Policy struct {
	// Policy has the fields that do not depend on gRPC: guarantee, retention, lease, longest run, wait, fail-open and the rest.
	onlyonce.Policy

	// Key decides whether calls need a key. The default is KeyOptional.
	Key KeyUse
	// KeyRules decides which keys are accepted. Nil inherits; the default is 1 to 255 printable ASCII characters without spaces.
	KeyRules *onlyonce.KeyRules
	// Classes replaces the class of single error codes. Codes that it does not list have the class of the wider policy, or else of the
	// contract. By the contract, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, OUT_OF_RANGE, PERMISSION_DENIED and
	// UNAUTHENTICATED are definite, and all other error codes are ambiguous. OK is always definite, and may not be listed.
	//   - An error that the handler marks with onlyonce.Final or onlyonce.NotExecuted has the class of its mark.
	//   - Without a mark, a rejection that the handler passes on from another service is ambiguous. So is the error of a keyed call of the
	//     handler whose outcome is unknown.
	Classes map[codes.Code]onlyonce.Class
	// Retentions replaces ErrorRetention for definite errors of single codes. Codes that it does not list have the retention of the wider
	// policy. The range, the exceptions and the dangers of ErrorRetention hold here too: see onlyonce.Policy.
	Retentions map[codes.Code]time.Duration
	// Recover finds out what became of a run whose outcome is unknown. Nil inherits; the default is none. The store must be a store.Inspector,
	// which can settle records. Otherwise NewServer fails.
	Recover RecoverFunc
}

// RecoverFunc finds out what became of a run whose outcome is unknown. It returns FindingOf the answer that the caller should have got,
// onlyonce.DidNotHappen or onlyonce.StillUnknown. onlyonce.RecoverFunc describes when it is called, and what follows from its result or
// error.
//
// The request is a copy of the request of the duplicate, which is equal to the request of the run. Package reconcile calls the function
// without a duplicate. The request is then the one that the record keeps. It is nil if the policy's KeepRequest is not set, or if the
// request was larger or empty. The function can then use the method and the readable key of the record, or return onlyonce.StillUnknown.
//
// A request whose Go type has no ProtoReflect comes in a wrapper. protoadapt.MessageV1Of removes the wrapper.
type RecoverFunc func(ctx context.Context, req proto.Message, rec onlyonce.Record) (onlyonce.Finding, error)

func (p Policy) over(wider Policy) Policy {
	merged := Policy{
		Policy: p.Policy.Over(wider.Policy), Key: p.Key, KeyRules: p.KeyRules,
		Classes: overCodes(p.Classes, wider.Classes), Retentions: overCodes(p.Retentions, wider.Retentions),
	}

	if merged.Key == KeyInherit {
		merged.Key = wider.Key
	}

	if merged.KeyRules == nil {
		merged.KeyRules = wider.KeyRules
	}

	merged.Recover = p.Recover
	if merged.Recover == nil {
		merged.Recover = wider.Recover
	}

	return merged
}

// overCodes takes the codes that a policy does not list from a wider policy.
func overCodes[T any](codesOf, wider map[codes.Code]T) map[codes.Code]T {
	if len(codesOf) == 0 {
		return wider
	}

	merged := make(map[codes.Code]T, len(codesOf)+len(wider))
	maps.Copy(merged, wider)
	maps.Copy(merged, codesOf)

	return merged
}

// validate reports every invalid field. Subject names the owner of the policy in each error.
func (p Policy) validate(engine *onlyonce.Engine, subject string) error {
	errs := parts(engine.Validate(p.Policy))

	if p.Key > KeyIgnored {
		errs = append(errs, fmt.Errorf("interceptor: Key is %d: give KeyOptional, KeyRequired or KeyIgnored", p.Key))
	}

	if p.KeyRules != nil {
		errs = append(errs, parts(p.KeyRules.Validate())...)
	}

	if p.Recover != nil && !engine.CanResolve() {
		errs = append(errs, errors.New("interceptor: Recover is set, and the store cannot settle records: "+
			"use a store that is a store.Inspector, or leave Recover out"))
	}

	for _, code := range slices.Sorted(maps.Keys(p.Classes)) {
		class := p.Classes[code]

		if isOK(code) || class > onlyonce.ClassNotExecuted {
			errs = append(errs, fmt.Errorf("interceptor: Classes makes %v %v: give a class only to error codes", code, class))
		}
	}

	errs = append(errs, p.validateRetentions(engine.Policy(p.Policy))...)

	for i, err := range errs {
		errs[i] = fmt.Errorf("%s: %w", subject, err)
	}

	return errors.Join(errs...)
}

// validateRetentions reports retentions of errors that are out of range, or that end while a time-ordered key may still make a record.
// Whole is the policy with all defaults.
func (p Policy) validateRetentions(whole onlyonce.Policy) []error {
	var errs []error

	ordered := p.KeyRules != nil && p.KeyRules.TimeOrdered
	judge := func(what string, retention time.Duration) {
		if ordered && retention < whole.KeyLife {
			errs = append(errs, fmt.Errorf("interceptor: %s is %v and time-ordered keys make records for KeyLife, which is %v, so a key "+
				"could run again: give at least KeyLife, or a shorter KeyLife", what, retention, whole.KeyLife))
		}
	}

	judge("ErrorRetention", whole.ErrorRetention)

	for _, code := range slices.Sorted(maps.Keys(p.Retentions)) {
		retention, what := p.Retentions[code], "Retentions of "+codeName(code)

		switch {
		case isOK(code):
			errs = append(errs, errors.New("interceptor: Retentions has OK: give a retention only to error codes"))
		case retention < whole.MaxRun || retention > whole.Retention:
			errs = append(errs, fmt.Errorf("interceptor: %s is %v: give at least MaxRun, which is %v, and at most Retention, which is %v",
				what, retention, whole.MaxRun, whole.Retention))
		default:
			judge(what, retention)
		}
	}

	return errs
}

// parts returns the problems that a joined error consists of.
func parts(err error) []error {
	if err == nil {
		return nil
	}

	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}

	var all []error
	for _, part := range joined.Unwrap() {
		all = append(all, parts(part)...)
	}

	return all
}
