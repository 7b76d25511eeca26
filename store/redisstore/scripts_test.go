package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

func TestF43EveryOperationWorksAfterTheScriptsWereFlushed(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	ready := make(map[string]store.Claim)

	for _, op := range operations() {
		ready[op.name] = op.prepare(t, s)
	}

	for _, op := range operations() {
		if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}

		res, err := op.run(t.Context(), s, ready[op.name])
		must(t, res, err)
		mustBe(t, s, ready[op.name].Key, op.state)
	}
}

func TestF43ABatchWorksAfterTheScriptsWereFlushed(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s, g := gated(t, server.Addr())
	flights := fill(t, s, g)

	batch := make([]<-chan answer, 20)
	for i := range batch {
		batch[i] = queue(t.Context(), t, s, newClaim())
	}

	if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}

	g.open()
	mustWin(t, s, append(flights, batch...)...)
}

func TestF43AfterARestartThatForgotEverythingOperationsWorkAndRecordsAreAbsent(t *testing.T) {
	t.Parallel()

	for name, connect := range map[string]func(t *testing.T, addr string) *redisstore.Store{
		"Open": func(t *testing.T, addr string) *redisstore.Store {
			t.Helper()

			return open(t, "redis://"+addr)
		},
		"New": func(t *testing.T, addr string) *redisstore.Store {
			t.Helper()

			return with(t, redis.NewClient(patient(redis.Options{Addr: addr})))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			server := redistest.Standalone(t)
			s := connect(t, server.Addr())

			claim := newClaim()
			start(t, s, claim)

			server.Restart()

			for op, run := range map[string]func() (store.Result, error){
				"renewal":    func() (store.Result, error) { return s.Renew(t.Context(), renewal(claim)) },
				"completion": func() (store.Result, error) { return s.Complete(t.Context(), completion(claim, "paid")) },
				"hold":       func() (store.Result, error) { return s.Hold(t.Context(), hold(claim)) },
				"resolution": func() (store.Result, error) { return resolveCompleted(t.Context(), s, claim) },
				"lookup":     func() (store.Result, error) { return s.Lookup(t.Context(), claim.Key) },
			} {
				res, err := run()
				if err != nil || res.Applied || res.Record.State != store.Absent || time.Since(res.Now).Abs() > time.Hour {
					t.Errorf("a %s gets %+v, %v", op, res, err)
				}
			}

			late := claimOn(claim.Key)
			late.Fence = 1

			if res, err := s.Claim(t.Context(), late); err != nil || res.Applied || res.Record.State != store.Absent {
				t.Errorf("a claim that expects a record gets %+v, %v", res, err)
			}

			start(t, s, claimOn(claim.Key))
		})
	}
}
