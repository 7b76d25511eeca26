package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestASweepThatCannotTakeItsTurnFails(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s, err := Open(server.URL(), WithTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	for range 2 { // the second one finds that it is over
		if _, err := s.sweepAll(t.Context(), s.sweepInTurn); err != nil {
			t.Fatal(err)
		}
	}

	if err := server.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.sweepAll(t.Context(), s.sweepInTurn); !errors.Is(err, store.ErrFull) {
		t.Errorf("on a full server a sweep returned %v", err)
	}
}
