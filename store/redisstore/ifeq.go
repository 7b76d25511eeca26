package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// findIFEQ finds out whether the server knows SET with IFEQ, which Valkey has from 8.1 and Redis from 8.4. The trial writes nothing,
// because there is no such key. In a cluster one server answers for all: a completion on a server without IFEQ fails with a syntax error,
// and takes the script from then on. Without an answer, the earlier finding stays.
func (s *Store) findIFEQ(ctx context.Context) {
	cmd := redis.NewStringCmd(ctx, "SET", s.prefix+"ifeq", "", "IFEQ", "a value that no key has", "PX", "1")
	err := process(ctx, s.client, cmd)

	if err == nil || isReply(err) {
		s.ifeq.Store(errors.Is(err, redis.Nil))
	}
}

// unknownIFEQ reports whether a server has refused IFEQ because it does not know the option.
func unknownIFEQ(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "syntax error")
}
