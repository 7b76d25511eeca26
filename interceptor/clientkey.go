package interceptor

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
)

// withKey gives a call its key and calls next once, with the key or with none.
func (c *clientConfig) withKey(
	ctx context.Context, method string, req any, opts []grpc.CallOption, next func(ctx context.Context, key string) error,
) error {
	key, sent, err := c.chooseKey(ctx, method, req, opts)
	if err != nil {
		return localError(err)
	}

	if key != "" && !sent {
		ctx = metadata.AppendToOutgoingContext(ctx, KeyHeader, key)
	}

	return next(ctx, key)
}

// chooseKey returns the key of a call, or none where it is not protected. The second result reports that the metadata has
// it already. The request is never changed: a key field that is empty stays so.
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

	blamed := ""
	protected := c.protected(method)

	// Where keys are ignored, or nobody knows what the annotations mean, a request field makes no key of its own.
	inField := ""
	if protected || chosen && !m.ignored {
		inField, _ = m.keyField.in(req)
	}

	if inField != "" {
		inField, blamed = m.keyForm.normal(inField), string(m.keyField.name)

		if chosen && key != inField {
			return "", false, invalidKey("field "+blamed+" of the request has another idempotency key than the call; set it once", blamed)
		}

		key, chosen = inField, true
	}

	if !chosen && protected {
		key, chosen = c.freshKey(m), true
	}

	if !chosen {
		return "", false, nil
	}

	problem := m.keyForm.check(key)
	if problem == "" {
		if err := c.keyRules.Check(key); err != nil {
			problem = err.Error()
		}
	}

	if problem != "" {
		return "", false, invalidKey(problem, blamed)
	}

	return key, sent, nil
}

// explicitKey is the key that the caller has chosen for a call, apart from its metadata and its request.
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
	case m.keyForm.uuid:
		return newUUID4()
	default:
		return onlyonce.NewKey()
	}
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

// invalidKey is the error of a call whose key is bad: that in a field of its request, or else that in its metadata.
func invalidKey(message, field string) error { return rejectionStatus(invalid(message), field).Err() }
