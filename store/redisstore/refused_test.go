package redisstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// refusing is a server that refuses writes on demand, and accepts them again.
type refusing struct {
	server         *redistest.Server
	refuse, accept func()
}

// refusals are the reasons for which a server refuses writes, by the beginning of its error.
func refusals() map[string]func(t *testing.T) refusing {
	return map[string]func(t *testing.T) refusing{
		"NOREPLICAS": withoutReplicas,
		"MISCONF":    withoutDisk,
		"READONLY": func(t *testing.T) refusing {
			t.Helper()

			server, other := redistest.Standalone(t), redistest.Standalone(t)
			// The server keeps its data, because the other server, which is paused, sends none.
			other.Pause()

			return refusing{
				server: server,
				refuse: func() { follow(t, server, other) },
				accept: func() { follow(t, server, nil) },
			}
		},
	}
}

// withoutReplicas is a master that needs a replica to write, and loses it.
func withoutReplicas(t *testing.T) refusing {
	t.Helper()

	master := redistest.Standalone(t, "--min-replicas-to-write", "1")
	replica := redistest.Standalone(t)
	hasReplicas := func(want string) func() bool {
		return func() bool {
			return strings.Contains(master.Client().Info(t.Context(), "replication").Val(), "min_slaves_good_slaves:"+want)
		}
	}

	follow(t, replica, master)
	eventually(t, "the replica follows", hasReplicas("1"))

	return refusing{
		server: master,
		refuse: func() {
			replica.Kill()
			eventually(t, "the replica is gone", hasReplicas("0"))
		},
		accept: func() {
			replica.Restart()
			follow(t, replica, master)
			eventually(t, "the replica follows again", hasReplicas("1"))
		},
	}
}

// withoutDisk is a server that cannot write its snapshots for a while.
func withoutDisk(t *testing.T) refusing {
	t.Helper()

	server := redistest.Standalone(t, "--enable-protected-configs", "yes")
	client := server.Client()
	dir := filepath.Join(t.TempDir(), "data")

	must := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	snapshot := func(want string) {
		t.Helper()

		eventually(t, "a snapshot is "+want, func() bool {
			_ = client.BgSave(t.Context()).Err() // one may be under way

			return strings.Contains(client.Info(t.Context(), "persistence").Val(), "rdb_last_bgsave_status:"+want)
		})
	}

	must(os.Mkdir(dir, 0o700))
	must(client.ConfigSet(t.Context(), "dir", dir).Err())
	must(client.ConfigSet(t.Context(), "save", "3600 1000000").Err())

	return refusing{
		server: server,
		refuse: func() {
			must(os.RemoveAll(dir))
			snapshot("err")
		},
		accept: func() {
			must(os.Mkdir(dir, 0o700))
			must(client.ConfigSet(t.Context(), "dir", dir).Err())
			snapshot("ok")
		},
	}
}

func TestF90WhileWritesAreRefusedCompletedKeysAreReplayedAndCheckFails(t *testing.T) {
	t.Parallel()

	for reason, prepare := range refusals() {
		for name, opts := range map[string][]redisstore.Option{"": nil, ", without batching": {redisstore.WithoutBatching()}} {
			t.Run(reason+name, func(t *testing.T) {
				t.Parallel()

				r := prepare(t)
				s := open(t, r.server.URL(), opts...)
				all := specimens(t, s)
				ready := make(map[string]store.Claim)

				for _, op := range operations() {
					ready[op.name] = op.prepare(t, s)
				}

				won := newClaim()
				start(t, s, won)

				r.refuse()

				if res, err := s.Claim(t.Context(), won); !failed(err) || res.Applied {
					t.Errorf("a copy of a claim that has won is granted: %+v, %v", res, err)
				}

				for name, claim := range all {
					res, err := s.Claim(t.Context(), claimOn(claim.Key))

					state, _, _ := strings.Cut(name, ",")
					if reason != "MISCONF" && state == store.Unknown.String() {
						if !failed(err) {
							t.Errorf("an outcome is unknown although another master may have it: %+v, %v", res, err)
						}

						continue
					}

					if err != nil || res.Applied || res.Record.State.String() != state || res.Now.IsZero() {
						t.Errorf("a duplicate of %s gets %+v, %v", name, res, err)
					}
				}

				if _, err := s.Check(t.Context()); err == nil ||
					!strings.Contains(err.Error(), "refuses writes") && !strings.Contains(err.Error(), "replica") {
					t.Errorf("Check returns %v", err)
				}

				for _, op := range operations() {
					claim := ready[op.name]
					before := lookup(t, s, claim.Key).Record

					res, err := op.run(t.Context(), s, claim)
					if !failed(err) || res.Applied {
						t.Errorf("%s gets %+v, %v", op.name, res, err)
					}

					if after := lookup(t, s, claim.Key).Record; !sameRecord(&after, &before) {
						t.Errorf("%s: the record was %+v, and is %+v", op.name, before, after)
					}
				}

				r.accept()
				eventually(t, "writes are accepted", func() bool {
					_, err := s.Check(t.Context())

					return err == nil
				})

				for _, op := range operations() {
					res, err := op.run(t.Context(), s, ready[op.name])
					must(t, res, err)
					mustBe(t, s, ready[op.name].Key, op.state)
				}
			})
		}
	}
}

func TestF90WhileReplicasAreMissingNothingBeginsAndWhatHasRunIsRecordedLater(t *testing.T) {
	t.Parallel()

	for name, policy := range map[string]onlyonce.Policy{
		"AtMostOnce":                {Guarantee: onlyonce.AtMostOnce},
		"AtLeastOnce":               {Guarantee: onlyonce.AtLeastOnce},
		"AtLeastOnce and fail open": {Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			r := withoutReplicas(t)
			s := open(t, r.server.URL())
			patient := newEngine(t, s, onlyonce.WithPolicy(policy))
			e := newEngine(t, s, onlyonce.WithPolicy(policy),
				onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: generous, SettleTimeout: 3 * time.Second}))

			done, under := callOf("7 EUR"), callOf("7 EUR")
			done.Key, under.Key = "done", "running"

			if got := callAs(t, patient, done, func() {}); got != "executed" {
				t.Fatalf("the first call: %s", got)
			}

			if got := callAs(t, e, under, r.refuse); got != "unrecorded" {
				t.Errorf("a call that was running: %s", got)
			}

			if got := callAs(t, e, done, func() { t.Error("a completed call runs again") }); got != "replayed" {
				t.Errorf("a duplicate: %s", got)
			}

			ran := false
			fresh := callOf("7 EUR")
			fresh.Key = "fresh"
			want := map[bool]string{true: "unprotected", false: string(onlyonce.ReasonStoreUnavailable)}[policy.StoreDown == onlyonce.FailOpen]

			if got := callAs(t, e, fresh, func() { ran = true }); got != want || ran != (want == "unprotected") {
				t.Errorf("a new call: %s, and its handler has run: %t", got, ran)
			}

			r.accept()
			eventually(t, "what has run is recorded", func() bool {
				return callAs(t, e, under, func() { t.Error("a call that has run runs again") }) == "replayed"
			})
		})
	}
}

func TestF90AMasterWithoutReplicasIsRefusedAtConstruction(t *testing.T) {
	t.Parallel()

	r := withoutReplicas(t)
	r.refuse()

	_, err := redisstore.Open(r.server.URL(), redisstore.WithTimeout(generous))
	if err == nil || !strings.Contains(err.Error(), "min-replicas-to-write") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
