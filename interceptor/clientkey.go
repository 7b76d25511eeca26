package interceptor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/uuid"
)

// withKey gives a call its key, and calls next once, with the key or with "".
func (c *clientConfig) withKey(
	ctx context.Context, method string, req any, opts []grpc.CallOption, next func(ctx context.Context, key string) error,
) error {
	ctx = withoutForwardedKey(ctx)

	key, sent, err := c.chooseKey(ctx, method, req, opts)
	if err != nil {
		return localError(err, key)
	}

	if key == "" && c.protected(method) {
		return c.withOwnKey(ctx, method, next)
	}

	if key == "" {
		return next(ctx, key)
	}

	failure := errUnfinished // of a call that panics
	end := onlyonce.BeginCall(ctx, method, key)

	defer func() { end(failure) }()

	if !sent {
		ctx = metadata.AppendToOutgoingContext(ctx, KeyHeader, key)
	}

	failure = next(ctx, key)

	return failure
}

// withOwnKey calls next with a key that the interceptor chooses. In a run it is derived from the key of the run, otherwise it is fresh.
func (c *clientConfig) withOwnKey(ctx context.Context, method string, next func(ctx context.Context, key string) error) error {
	m := c.known.get(method)

	derived, err := onlyonce.DeriveCall(ctx, method)
	if errors.Is(err, onlyonce.ErrNoRun) {
		if retriedOutside(ctx) {
			return errRetriedOutside(method)
		}

		return c.withMadeKey(ctx, m, c.freshKey(m), next)
	}

	if err != nil {
		return errDerive(method, err)
	}

	failure := errUnfinished // of a call that panics

	defer func() { derived.End(failure) }()

	key, err := c.derivedKey(m, derived)
	if err != nil {
		failure = errDerive(method, err)
	} else {
		failure = c.withMadeKey(ctx, m, key, next)
	}

	return failure
}

// retriedOutside reports that a retry interceptor in front of this one makes the call again. The one of go-grpc-middleware leaves a mark in
// the outgoing metadata. The same mark in the metadata of the incoming call does not count: the program passes it on.
func retriedOutside(ctx context.Context) bool {
	outgoing, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return false
	}

	for _, name := range []string{AttemptHeader, "x-retry-attempty"} { // older versions of the middleware misspell it
		marks := outgoing.Get(name)
		if len(marks) > 0 && !slices.Equal(marks, metadata.ValueFromIncomingContext(ctx, name)) {
			return true
		}
	}

	return false
}

// withMadeKey calls next with a key that was made for the call.
func (c *clientConfig) withMadeKey(
	ctx context.Context, m *clientMethod, key string, next func(ctx context.Context, key string) error,
) error {
	if problem := c.checkKey(m, key); problem != "" {
		return localError(invalidKey(problem, ""), key)
	}

	return next(metadata.AppendToOutgoingContext(ctx, KeyHeader, key), key)
}

// withoutForwardedKey removes the key of the run from the outgoing metadata. A program that forwards all metadata of the incoming call puts
// it there, and all calls of the run would have the same key. A program chooses a key with WithKey, with onlyonce.ContextWithKey or in the
// request.
func withoutForwardedKey(ctx context.Context) context.Context {
	run, running := onlyonce.RunFromContext(ctx)

	_, values := outgoingKeys(ctx)
	if !running || values == 0 {
		return ctx
	}

	incoming := append(metadata.ValueFromIncomingContext(ctx, KeyHeader), run.Key)
	outgoing, _ := metadata.FromOutgoingContext(ctx)
	kept := slices.DeleteFunc(outgoing.Get(KeyHeader), func(key string) bool { return slices.Contains(incoming, key) })

	if len(kept) == values {
		return ctx
	}

	delete(outgoing, KeyHeader)

	if len(kept) > 0 {
		outgoing[KeyHeader] = kept
	}

	return metadata.NewOutgoingContext(ctx, outgoing)
}

// chooseKey returns the key that the caller has chosen for a call, or "". Sent reports that the metadata has the key already. The error may
// come with the invalid key. The request is never changed: an empty key field stays empty.
func (c *clientConfig) chooseKey(ctx context.Context, method string, req any, opts []grpc.CallOption) (key string, sent bool, err error) {
	m := c.known.get(method)
	key, chosen := explicitKey(ctx, opts)
	key = m.keyForm.normal(key)

	present, values := outgoingKeys(ctx)
	present = m.keyForm.normal(present)

	switch {
	case values > 1:
		return "", false, invalidKey(fmt.Sprintf("the outgoing metadata has %d values of %s and must have one", values, KeyHeader), "")
	case values == 1 && chosen && present != key:
		return "", false, invalidKey("the outgoing metadata has another "+KeyHeader+" than the call; set it once", "")
	case values == 1:
		key, chosen, sent = present, true, true
	}

	badField := ""

	// A request field alone makes a key only if the method is protected.
	inField, set := "", false
	if chosen && !m.ignored || c.protected(method) {
		inField, set, _ = m.keyField.in(req)
	}

	if set {
		inField, badField = m.keyForm.normal(inField), string(m.keyField.name)

		if chosen && key != inField {
			return "", false, invalidKey("field "+badField+" of the request has another idempotency key than the call; set it once", badField)
		}

		key, chosen = inField, true
	}

	if !chosen {
		return "", false, nil
	}

	if problem := c.checkKey(m, key); problem != "" {
		return key, false, invalidKey(problem, badField)
	}

	return key, sent, nil
}

// checkKey returns the problem of a key and its remedy, or "".
func (c *clientConfig) checkKey(m *clientMethod, key string) string {
	if problem := m.keyForm.check(key); problem != "" {
		return problem
	}

	if err := c.keyRules.Check(key); err != nil {
		return err.Error()
	}

	return ""
}

// explicitKey returns the key from WithKey or onlyonce.ContextWithKey.
func explicitKey(ctx context.Context, opts []grpc.CallOption) (key string, chosen bool) {
	if option, ok := lastOption[keyOption](opts); ok {
		return option.key, true
	}

	return onlyonce.KeyFromContext(ctx)
}

func (c *clientConfig) freshKey(m *clientMethod) string {
	switch {
	case c.newKey != nil:
		return c.newKey()
	case m.keyForm.uuid && !c.timeOrdered(m):
		return uuid.New4().String()
	default:
		return onlyonce.NewKey()
	}
}

var (
	errUnfinished = errors.New("interceptor: the call did not return")
	errNoTime     = errors.New("the method requires time-ordered keys, and the key of this run is not time-ordered, so no key can be " +
		"derived; give the call a key with WithKey")
)

// derivedKey returns the key of a call of a run, in the form that the method requires.
func (c *clientConfig) derivedKey(m *clientMethod, derived *onlyonce.DerivedCall) (string, error) {
	if c.timeOrdered(m) {
		key, ok := derived.TimeOrdered()
		if !ok {
			return "", errNoTime
		}

		return key, nil
	}

	if m.keyForm.uuid {
		return derived.UUID(), nil
	}

	return derived.Key(), nil
}

// timeOrdered reports whether the keys of a method are time-ordered.
func (c *clientConfig) timeOrdered(m *clientMethod) bool {
	return m.keyForm.rules.TimeOrdered || c.keyRules.TimeOrdered
}

// outgoingKeys returns the last key in the outgoing metadata, and how many there are.
func outgoingKeys(ctx context.Context) (key string, values int) {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return "", 0
	}

	keys := md.Get(KeyHeader)
	if len(keys) == 0 {
		return "", 0
	}

	return keys[len(keys)-1], len(keys)
}

// invalidKey returns the error of a call whose key is invalid. The key is in the named field of the request, or in the metadata if field is
// empty.
func invalidKey(message, field string) error { return rejectionStatus(invalid(message), field).Err() }
