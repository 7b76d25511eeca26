package memstore

import (
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func (s *Store) watched() (keys int) {
	for i := range s.shards {
		s.shards[i].mu.Lock()
		keys += len(s.shards[i].watches)
		s.shards[i].mu.Unlock()
	}

	return keys
}

func TestWatchesLeaveNothingBehind(t *testing.T) {
	t.Parallel()

	s := New()
	key := store.Key{1}

	_, stop := s.Watch(key)
	stop()

	if got := s.watched(); got != 0 {
		t.Errorf("a stopped watch leaves %d keys watched", got)
	}

	_, first := s.Watch(key)
	_, second := s.Watch(key)

	first()

	if got := s.watched(); got != 1 {
		t.Errorf("%d keys are watched by one of two, must be 1", got)
	}

	cycle(t, s, key, 0, time.Hour)

	if got := s.watched(); got != 0 {
		t.Errorf("a watch that was woken leaves %d keys watched", got)
	}

	// The key is watched again, by somebody else whom the end of the old watch does not concern.
	changed, third := s.Watch(key)
	second()

	if got := s.watched(); got != 1 {
		t.Errorf("the end of an old watch ended the new one: %d keys are watched, must be 1", got)
	}

	cycle(t, s, key, 1, time.Hour)

	select {
	case <-changed:
	default:
		t.Error("the new watch was not woken")
	}

	third()

	if got := s.watched(); got != 0 {
		t.Errorf("%d keys are watched in the end", got)
	}
}

// A long run is renewed often. Renewals do not wake its waiters.
func TestWatchIsNotWokenWhileTheRecordRuns(t *testing.T) {
	t.Parallel()

	s := New()
	claim := store.Claim{Key: store.Key{1}, Token: store.Token{1}, Guarantee: store.AtMostOnce, Lease: time.Hour, Retention: time.Hour}

	changed, stop := s.Watch(claim.Key)
	defer stop()

	if res, err := s.Claim(t.Context(), claim); err != nil || !res.Applied {
		t.Fatalf("claim: applied=%t, error %v", res.Applied, err)
	}

	if res, err := s.Renew(t.Context(), store.Renewal{Key: claim.Key, Token: claim.Token, Lease: time.Hour}); err != nil || !res.Applied {
		t.Fatalf("renewal: applied=%t, error %v", res.Applied, err)
	}

	select {
	case <-changed:
		t.Error("the watch was woken by a claim or a renewal")
	default:
	}
}

func TestWatchesOfManyLeaveNothingBehind(t *testing.T) {
	t.Parallel()

	var (
		s  = New()
		wg sync.WaitGroup
	)

	for w := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				key := store.Key{byte(i % 7)}
				_, stop := s.Watch(key)

				if w == 0 {
					claim := store.Claim{Key: key, Token: store.Token{1, byte(i), byte(i >> 8)}, Retention: 1}
					_, _ = s.Release(t.Context(), store.Release{Claim: claim})
				}

				stop()
			}
		})
	}

	wg.Wait()

	if got := s.watched(); got != 0 {
		t.Errorf("%d keys are watched in the end", got)
	}
}
