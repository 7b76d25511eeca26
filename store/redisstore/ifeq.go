package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// findIFEQ finds out whether the server knows SET with IFEQ, which Valkey has from 8.1 and Redis from 8.4. The trial writes nothing,
// because there is no such key. In a cluster one server answers for all: a completion on a server without IFEQ fails with a syntax error,
// and takes the script from then on.
func (s *Store) findIFEQ(ctx context.Context) {
	cmd := redis.NewStringCmd(ctx, "SET", s.prefix+"ifeq", "", "IFEQ", "a value that no key has", "PX", "1")

	if knows, found := knowsIFEQ(process(ctx, s.client, cmd)); found {
		s.ifeq.Store(knows)
	}
}

// knowsIFEQ is the answer to the trial. Without an answer, and with the error of a server that refuses all writes, nothing is found.
func knowsIFEQ(err error) (knows, found bool) {
	if errors.Is(err, redis.Nil) {
		return true, true
	}

	return false, err == nil || isReply(err) && unknownIFEQ(err)
}

// unknownIFEQ reports whether a server has refused IFEQ because it does not know the option.
func unknownIFEQ(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "syntax error")
}
