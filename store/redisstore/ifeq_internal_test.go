package redisstore

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
)

// answer is an error of a server.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

func TestOnlyAnAnswerAboutTheOptionItselfShowsWhetherAServerKnowsIFEQ(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name         string
		err          error
		knows, found bool
	}{
		{"there is no such key", redis.Nil, true, true},
		{"a syntax error", answer("ERR syntax error"), false, true},
		{"a replica", answer("READONLY You can't write against a read only replica."), false, false},
		{"a master without replicas", answer("NOREPLICAS Not enough good replicas to write."), false, false},
		{"a server that starts", answer("LOADING Redis is loading the dataset in memory"), false, false},
		{"no right", answer("NOPERM User has no permissions to run the 'set' command"), false, false},
		{"no answer", context.DeadlineExceeded, false, false},
	} {
		if knows, found := knowsIFEQ(tt.err); knows != tt.knows || found != tt.found {
			t.Errorf("%s: got %t, %t, want %t, %t", tt.name, knows, found, tt.knows, tt.found)
		}
	}
}
