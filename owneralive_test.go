package onlyonce_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const shortRun = 10 * time.Second

// lingering leaves a run that has ended while its request to the provider is still on its way: it has its effect after 19
// seconds, within the time in which the owner may be alive.
func lingering(t *testing.T, effects *atomic.Int64) *onlyonce.Engine {
	t.Helper()

	engine := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Lease: shortRun, MaxRun: shortRun}))

	do(t, engine, pay("k"), func(context.Context) ([]byte, error) {
		time.AfterFunc(19*time.Second, func() { effects.Add(1) })

		return nil, errLine
	}).mustFail(t, onlyonce.StatusUnknown, errLine)

	return engine
}

func TestF04FindingFromWhenTheOwnerMayHaveBeenAliveDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var effects atomic.Int64

		engine := lingering(t, &effects)

		time.Sleep(18 * time.Second)

		call := pay("k")
		call.Recover = func(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
			found := onlyonce.DidNotHappen()
			if effects.Load() > 0 {
				found = onlyonce.Happened("OK", nil)
			}

			time.Sleep(3 * time.Second) // it has looked in time, and answers when the owner is dead

			return found, nil
		}

		do(t, engine, call, func(context.Context) ([]byte, error) {
			effects.Add(1)

			return nil, nil
		}).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)

		if n := effects.Load(); n != 1 {
			t.Errorf("%d effects, want one", n)
		}
	})
}

func TestF59SettlementFromWhenTheOwnerMayHaveBeenAliveDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var effects atomic.Int64

		engine := lingering(t, &effects)

		time.Sleep(18 * time.Second)

		early := record(t, engine, "k")

		time.Sleep(3 * time.Second)

		if err := engine.Resolve(t.Context(), early, onlyonce.DidNotHappen()); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("Resolve: %v, want ErrOwnerMayBeAlive", err)
		}

		if effects.Load() != 1 {
			t.Errorf("%d effects, want one", effects.Load())
		}
	})
}

// slowAnswer holds the answer to one claim back, whatever the context, as a process that is paused sees it.
type slowAnswer struct {
	*memstore.Store

	delay time.Duration
}

func (s *slowAnswer) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	res, err := s.Store.Claim(ctx, op)

	time.Sleep(s.delay)
	s.delay = 0

	return res, err
}

func TestF16RunDoesNotBeginOnAnAnswerThatIsTooOld(t *testing.T) {
	t.Parallel()

	for name, policy := range map[string]onlyonce.Policy{
		"nobody may take over":    {Guarantee: onlyonce.AtMostOnce, Lease: shortRun, MaxRun: shortRun},
		"others may take over":    {Guarantee: onlyonce.AtLeastOnce, Lease: shortRun, MaxRun: shortRun},
		"the run could last long": {Guarantee: onlyonce.AtLeastOnce, Lease: shortRun, MaxRun: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				policy := onlyonce.WithPolicy(policy)
				records := memstore.New()
				paused := newEngine(t, &slowAnswer{records, 30 * time.Second}, policy)
				other := newEngine(t, records, policy)

				var p payments

				late := inBackground(t.Context(), paused, pay("k"), p.do)

				time.Sleep(25 * time.Second)

				if name == "nobody may take over" {
					if err := other.Resolve(t.Context(), record(t, other, "k"), onlyonce.DidNotHappen()); err != nil {
						t.Fatal(err)
					}
				}

				do(t, other, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
				(<-late).mustBeRejected(t, onlyonce.ReasonLeaseLost)
				p.mustHaveRun(t, 1)
			})
		})
	}
}
