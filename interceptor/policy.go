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
	// KeyInherit leaves the choice to the wider policy, in the end to KeyOptional.
	KeyInherit KeyUse = iota
	// KeyOptional protects calls with a key and lets others through, unprotected.
	KeyOptional
	// KeyRequired rejects calls without a key.
	KeyRequired
	// KeyIgnored protects no call of the method. It holds for methods that declare idempotency_level = NO_SIDE_EFFECTS: see
	// https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto. Where WithMethodPolicy, or
	// the method's own option, requires a key all the same, the method is refused.
	KeyIgnored
)

// Policy says how the calls of a method are treated. A field that is zero is taken from the next of these policies that has
// it:
//
//  1. that of [WithMethodPolicy], then that of [WithServicePolicy], then that of [WithPolicy],
//  2. the .proto's option (onlyonce.v1.method) of the method, then its option (onlyonce.v1.service) of the service,
//  3. the engine's, and what is built in.
//
// So the author of a service says in its .proto what clients and servers can rely on, and an operator can overrule it in the
// server's program: with care, because clients read the .proto as well, and [Server.Validate] reports what an option of many methods
// takes away from it. What is to hold only where a .proto says nothing belongs into the policy of the engine.
type Policy struct {
	// Policy is the transport-free part: guarantee, retention, lease, longest run, wait, fail-open and the rest.
	onlyonce.Policy

	// Key decides whether calls need a key. The default is KeyOptional.
	Key KeyUse
	// KeyRules says which keys are accepted; nil inherits. The default is the contract's rule, 1 to 255 printable ASCII
	// characters.
	KeyRules *onlyonce.KeyRules
	// Classes replaces the class of single codes; those that it does not list are as in the wider policy, and in the end
	// as in the contract. OK is always definite, the rejection of another service is always ambiguous, and what a handler
	// marks with onlyonce.Final or onlyonce.NotExecuted goes before all of these.
	Classes map[codes.Code]onlyonce.Class
	// Retentions replaces ErrorRetention for definite errors of single codes. Codes that it does not list are as in the wider policy. The
	// range, the exceptions and the danger are those of ErrorRetention: see onlyonce.Policy.
	Retentions map[codes.Code]time.Duration
	// Recover finds out what became of a run whose outcome is unknown; nil inherits, and in the end asks nobody. It needs
	// a store that can settle records, a store.Inspector; without one the server interceptor is not made.
	Recover RecoverFunc
}

// RecoverFunc finds out what became of a run whose outcome is unknown. See onlyonce.RecoverFunc for when it is called and what becomes of
// its result. It returns FindingOf the answer that the caller should have got, onlyonce.DidNotHappen or onlyonce.StillUnknown.
//
// The request is a copy of the request of the duplicate, which is equal to the request of the run. Without a duplicate, such as for package
// reconcile, it is the request that the record keeps. Then it is nil if the policy's KeepRequest is not set, or if the request was larger
// or empty: the function has the method and the readable key of the record, or returns onlyonce.StillUnknown.
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

// overCodes takes the codes that a policy does not list from a wider one.
func overCodes[T any](codesOf, wider map[codes.Code]T) map[codes.Code]T {
	if len(codesOf) == 0 {
		return wider
	}

	merged := make(map[codes.Code]T, len(codesOf)+len(wider))
	maps.Copy(merged, wider)
	maps.Copy(merged, codesOf)

	return merged
}

// validate reports everything that cannot hold, each with the name of what the policy is for.
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
			"use a store that is a store.Inspector"))
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

// parts takes a joined error apart, down to the problems that it is made of.
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
