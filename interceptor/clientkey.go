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
	ctx context.Context, method string, opts []grpc.CallOption, next func(ctx context.Context, key string) error,
) error {
	key, sent, err := c.chooseKey(ctx, method, opts)
	if err != nil {
		return localError(err)
	}

	if key != "" && !sent {
		ctx = metadata.AppendToOutgoingContext(ctx, KeyHeader, key)
	}

	return next(ctx, key)
}

// chooseKey returns the key of a call, or none where it is not protected. The second result reports that the metadata has
// it already.
func (c *clientConfig) chooseKey(ctx context.Context, method string, opts []grpc.CallOption) (key string, sent bool, err error) {
	chosen := false

	if option, ok := lastOption[keyOption](opts); ok {
		key, chosen = option.key, true
	} else if fromContext, ok := onlyonce.KeyFromContext(ctx); ok {
		key, chosen = fromContext, true
	}

	present, values := outgoingKeys(ctx)

	switch {
	case values > 1:
		return "", false, invalidKey(fmt.Sprintf("the outgoing metadata has %d values of %s and must have one", values, KeyHeader))
	case values == 1 && chosen && present != key:
		return "", false, invalidKey("the outgoing metadata has another " + KeyHeader + " than the call; set it once")
	case values == 1:
		key, chosen, sent = present, true, true
	case !chosen && c.protected(method):
		key, chosen = c.newKey(), true
	}

	if !chosen {
		return "", false, nil
	}

	if err := c.keyRules.Check(key); err != nil {
		return "", false, invalidKey(err.Error())
	}

	return key, sent, nil
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

func invalidKey(message string) error {
	return rejectionStatus(&onlyonce.Rejection{Reason: onlyonce.ReasonKeyInvalid, Message: message}).Err()
}
