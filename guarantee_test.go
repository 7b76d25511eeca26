package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF55KeyThatKillsItsProcessRunsMaxAttemptsTimesAndIsThenUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		policy := onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxAttempts: 3, Lease: time.Second}

		runs := 0

		for process := 1; process <= 5; process++ {
			own := newFaultStore()
			own.mem = s.mem
			own.broken(lostRequest, opRenew, opComplete, opRelease) // the process is as good as dead

			e := newEngine(t, own, onlyonce.WithPolicy(policy), onlyonce.WithLimits(onlyonce.Limits{SettleTimeout: time.Millisecond}))

			got := do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
				runs++

				if run, _ := onlyonce.RunFromContext(ctx); run.Attempt != process || run.Fence != uint64(process) {
					t.Errorf("run %d is attempt %d with fence %d", process, run.Attempt, run.Fence)
				}

				return nil, nil
			})

			if process > policy.MaxAttempts {
				got.mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
			}

			ctx, cancel := context.WithCancel(t.Context())
			cancel()

			_ = e.Drain(ctx)

			time.Sleep(2 * time.Second)
		}

		if runs != policy.MaxAttempts {
			t.Errorf("the handler ran %d times, want %d", runs, policy.MaxAttempts)
		}
	})
}

// F60: if a deployment changes the guarantee, the stricter of the old and the new one holds.
func TestF60StricterOfTwoGuaranteesHolds(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		first, second onlyonce.Guarantee
		takesOver     bool
	}{
		"at most once, then at least once":  {onlyonce.AtMostOnce, onlyonce.AtLeastOnce, false},
		"at least once, then at most once":  {onlyonce.AtLeastOnce, onlyonce.AtMostOnce, false},
		"at most once twice":                {onlyonce.AtMostOnce, onlyonce.AtMostOnce, false},
		"at least once twice":               {onlyonce.AtLeastOnce, onlyonce.AtLeastOnce, true},
		"exactly once, then at least once":  {onlyonce.ExactlyOnce, onlyonce.AtLeastOnce, true},
		"at least once, then exactly once":  {onlyonce.AtLeastOnce, onlyonce.ExactlyOnce, true},
		"exactly once, then at most once":   {onlyonce.ExactlyOnce, onlyonce.AtMostOnce, false},
		"zero of an old record, then least": {0, onlyonce.AtLeastOnce, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := transactionalStore{newFaultStore()}
				e := newEngine(t, s, withGuarantee(tt.second))

				first := crashed(t, s.mem, "k", onlyonce.AtMostOnce, time.Second)
				if tt.first != onlyonce.AtMostOnce {
					// The same claim under the guarantee of the case.
					s.restartEmpty()

					first.Guarantee = tt.first
					if _, err := s.mem.Claim(t.Context(), first); err != nil {
						t.Fatal(err)
					}
				}

				var (
					p   payments
					run onlyonce.Run
				)

				got := do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					run, _ = onlyonce.RunFromContext(ctx)

					return p.do(ctx)
				})

				if !tt.takesOver {
					got.mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
					p.mustHaveRun(t, 0)

					return
				}

				got.mustBe(t, onlyonce.StatusExecuted, "#1")

				if run.Guarantee != store.Stricter(tt.first, tt.second) {
					t.Errorf("the run is under %v, want the stricter of %v and %v", run.Guarantee, tt.first, tt.second)
				}
			})
		})
	}
}

// The record was released under AtMostOnce. An engine that has AtLeastOnce since runs it again, and an ambiguous end is
// held all the same.
func TestF60AmbiguousEndIsHeldWhereTheRecordIsStricterThanThePolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		before := newEngine(t, s)
		after := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce))

		var p payments

		do(t, before, pay("k"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)
		do(t, after, pay("k"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		mustBeState(t, after, store.Unknown)
		do(t, after, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
		p.mustHaveRun(t, 2)
	})
}

// The record has the stricter guarantee, under which no other engine takes over. So the run goes on although its lease is lost.
func TestF60RunUnderAStricterRecordIsNotFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		before := newEngine(t, s)
		after := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce))

		var p payments

		do(t, before, pay("k"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)
		s.broken(lostRequest, opRenew)
		do(t, after, pay("k"), p.cancellable(20*time.Second)).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

// releasedUnderAtMostOnce returns a store with the record of key "k", released under AtMostOnce, and an engine that now
// uses ExactlyOnce.
func releasedUnderAtMostOnce(t *testing.T, way onlyonce.TransactionMode) (*txstore.Store, *onlyonce.Engine) {
	t.Helper()

	db := txstore.New()
	before := newEngine(t, db, withGuarantee(onlyonce.AtMostOnce))

	do(t, before, pay("k"), new(payments).failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)

	return db, newEngine(t, db, exactlyOnce(way))
}

func TestF60AmbiguousEndOfAJoinedRunIsHeldWhereTheRecordIsStricter(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		joins, down bool
		fails       error
	}{
		"it fails":                                {fails: errLine},
		"it joins and fails":                      {joins: true, fails: errLine},
		"its transaction did not commit":          {joins: true},
		"nobody knows whether it has, for a time": {joins: true, down: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db, before := releasedUnderAtMostOnce(t, onlyonce.JoinedTransaction)
				s := &losingStore{Store: db}
				e := newEngine(t, s, exactlyOnce(onlyonce.JoinedTransaction))

				got := do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					if run, _ := onlyonce.RunFromContext(ctx); run.Guarantee != onlyonce.AtMostOnce {
						t.Errorf("the run is under %v", run.Guarantee)
					}

					if tt.joins {
						tx := db.Open()
						defer tx.Rollback()

						if err := tx.Join(ctx, []byte("lie"), nil); err != nil {
							t.Error(err)
						}
					}

					s.down.Store(tt.down)

					return []byte("lie"), tt.fails
				})

				if tt.fails != nil {
					got.mustFail(t, onlyonce.StatusUnknown, tt.fails)
				} else {
					got.mustBeRejected(t, onlyonce.ReasonLeaseLost)
				}

				s.down.Store(false)

				if err := e.Drain(t.Context()); err != nil {
					t.Errorf("Drain: %v", err)
				}

				var again payments

				mustBeState(t, before, store.Unknown)
				do(t, before, pay("k"), again.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
				again.mustHaveRun(t, 0)
			})
		})
	}
}

func TestF60JoinedRunOfAStricterRecordIsAnsweredFromACommitThatComesLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, e := releasedUnderAtMostOnce(t, onlyonce.JoinedTransaction)

		do(t, e, pay("k"), committingLate(db)).mustBe(t, onlyonce.StatusExecuted, "late")
	})
}

// A single transaction leaves the record unchanged, whether it is rolled back or its process dies. So it holds no
// record, and does not claim to.
func TestF60SingleTransactionIsExactlyOnceWhateverItsRecordHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, e := releasedUnderAtMostOnce(t, onlyonce.SingleTransaction)
		s := shop{fails: errLine}

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			if run, _ := onlyonce.RunFromContext(ctx); run.Guarantee != onlyonce.ExactlyOnce {
				t.Errorf("the run is under %v", run.Guarantee)
			}

			return s.sell(ctx)
		}).mustFail(t, onlyonce.StatusUnknown, errLine)

		mustBeState(t, e, store.Released)

		s.fails = nil
		do(t, e, pay("k"), s.sell).mustBe(t, onlyonce.StatusExecuted, "#2")
		s.mustHave(t, 2, 1)
	})
}
