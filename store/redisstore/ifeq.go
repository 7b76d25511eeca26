package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// findIFEQ finds out whether the server has SET with IFEQ: Valkey from 8.1, Redis from 8.4. The trial writes nothing, because its key does
// not exist. In a cluster one server answers for all: a completion on a server without IFEQ fails with a syntax error, and completions use
// the script from then on.
func (s *Store) findIFEQ(ctx context.Context) {
	cmd := redis.NewStringCmd(ctx, "SET", s.prefix+"ifeq", "", "IFEQ", "a value that no key has", "PX", "1")

	if knows, found := knowsIFEQ(process(ctx, s.client, cmd)); found {
		s.ifeq.Store(knows)
	}
}

// knowsIFEQ reads the answer to the trial. Found is false without an answer, and for a server that refuses all writes.
func knowsIFEQ(err error) (knows, found bool) {
	if errors.Is(err, redis.Nil) {
		return true, true
	}

	return false, err == nil || isReply(err) && unknownIFEQ(err)
}

// unknownIFEQ reports whether a server refused IFEQ as an unknown option.
func unknownIFEQ(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "syntax error")
}
