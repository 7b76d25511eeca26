package onlyonce_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// shardedStore keeps the records in two shards. While one of them is down, its operations hang.
type shardedStore struct {
	*faultStore

	named bool // the store names its shards
	down  atomic.Bool
}

// partOf is the part of a key.
func (s *shardedStore) partOf(key store.Key) string { return fmt.Sprint("shard ", key[0]%2) }

func (s *shardedStore) Capabilities() store.Capabilities {
	can := s.faultStore.Capabilities()
	if s.named {
		can.Part = s.partOf
	}

	return can
}

func (s *shardedStore) hangs(key store.Key) bool { return s.down.Load() && s.partOf(key) == "shard 1" }

func (s *shardedStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	if s.hangs(op.Key) {
		return hanging(ctx, nil)
	}

	return s.faultStore.Hold(ctx, op)
}

func (s *shardedStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	if s.hangs(op.Claim.Key) {
		return hanging(ctx, nil)
	}

	return s.faultStore.Release(ctx, op)
}

// A long backlog of a shard that is down does not delay settlements of a healthy shard.
func TestF64WithdrawnClaimOnAHealthyPartIsAcknowledgedAtOnce(t *testing.T) {
	t.Parallel()

	for name, named := range map[string]bool{"a store that tells its parts": true, "a store that does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &shardedStore{faultStore: newFaultStore(), named: named}
				s.down.Store(true)

				e := newEngine(t, s)

				var (
					p       payments
					healthy string
					held    []<-chan answer
				)

				for i := 0; len(held) < 200 || healthy == ""; i++ {
					key := fmt.Sprint("k", i)
					if s.partOf(onlyonce.StorageKey("", method, key)) == "shard 0" {
						healthy = key
					} else {
						held = append(held, inBackground(t.Context(), e, pay(key), p.failing(errLine)))
					}
				}

				for _, a := range held {
					(<-a).mustFail(t, onlyonce.StatusUnknown, errLine)
				}

				if n := e.Pending(); n < 200 {
					t.Errorf("%d settlements are pending, want those of the part that is down", n)
				}

				pending := e.Pending()
				time.Sleep(30 * time.Second) // they are all tried again and again

				for range 3 {
					s.next(opClaim, lostReply)
				}

				do(t, e, pay(healthy), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)

				lost := time.Now()
				for e.Pending() > pending {
					time.Sleep(time.Millisecond)
				}

				if took := time.Since(lost); took > time.Second {
					t.Errorf("the withdrawn claim was acknowledged after %v", took)
				}

				do(t, e, pay(healthy), p.do).mustBe(t, onlyonce.StatusExecuted, string([]byte{'#', byte('0' + p.runs.Load())}))

				s.down.Store(false)
				if err := e.Drain(t.Context()); err != nil {
					t.Errorf("Drain: %v", err)
				}
			})
		})
	}
}

// The backlog is bounded by its bytes as well as by its length.
func TestF64BacklogIsBoundedByItsBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithLimits(onlyonce.Limits{MaxPendingBytes: 2 << 20, SettleTimeout: time.Second}))
		s.broken(lostRequest, opComplete)

		large := func(context.Context) ([]byte, error) { return make([]byte, 1<<20), nil }

		for _, key := range []string{"a", "b"} {
			do(t, e, pay(key), large).mustBe(t, onlyonce.StatusUnrecorded, string(make([]byte, 1<<20)))
		}

		do(t, e, pay("c"), large).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)

		s.broken(nil, opComplete)
		time.Sleep(time.Minute)
		do(t, e, pay("c"), large).mustBe(t, onlyonce.StatusExecuted, string(make([]byte, 1<<20)))
	})
}

// A settlement in the backlog keeps neither the request nor the answer of its call, because the bound does not count them.
func TestF64BacklogKeepsNothingElseOfItsCalls(t *testing.T) {
	t.Parallel()
	s := newFaultStore()
	e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{MaxOutcome: 10}),
		onlyonce.WithLimits(onlyonce.Limits{MaxPendingBytes: 1 << 10, SettleTimeout: time.Millisecond}))
	s.broken(lostRequest, opHold, opComplete)

	req, resp := new([1 << 20]byte), new([1 << 20]byte)
	wreq, wresp := weak.Make(req), weak.Make(resp)

	func() {
		call := pay("k1")
		call.Request = req[:]
		_, _ = e.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, errLine })

		_, _ = e.Do(t.Context(), pay("k2"), func(context.Context) ([]byte, error) { return resp[:], nil })
	}()

	req, resp = nil, nil
	for range 3 {
		runtime.GC()
	}

	if wreq.Value() != nil {
		t.Error("the backlog keeps the request of 1 MiB, counted with 0 bytes")
	}
	if wresp.Value() != nil {
		t.Error("the backlog keeps the answer of 1 MiB, counted with a few bytes")
	}

	s.broken(nil, opHold, opComplete)
	_ = e.Drain(t.Context())
}
