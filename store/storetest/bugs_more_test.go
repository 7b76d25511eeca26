package storetest

import (
	"time"

	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// theDefault is a retention that a store takes from somewhere else than the record.
const theDefault = 24 * time.Hour

// keepsOtherwise is a bug of one kind of operation, which keeps what it settles for the default.
func keepsOtherwise[Op any]() func(s *mapStore) {
	return on(nil, func(_ *Op, _ store.Record, now time.Time, t *store.Transition) {
		if t.Changed && (t.Record.State == store.Completed || t.Record.State == store.Released) {
			t.Record.ExpiresAt = now.Add(theDefault)
		}
	})
}

func keptBugs() []bug {
	return []bug{
		{"a completion has a retention of its own", kept, keepsOtherwise[store.Completion]()},
		{"a completion does not bring a retention of its own", kept, on(
			func(op *store.Completion, _ *store.Record, _ time.Time) { op.Retention = 0 }, nil)},
		{"a release has a retention of its own", kept, keepsOtherwise[store.Release]()},
		{"a resolution has a retention of its own", kept, keepsOtherwise[store.Resolution]()},
		{"a claim does not keep its retention", kept, on(nil,
			func(_ *store.Claim, _ store.Record, _ time.Time, t *store.Transition) {
				t.Record.Retention = theDefault
			})},
		{"a later run keeps the retention of the first one", kept, on(nil,
			func(_ *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State != store.Absent {
					t.Record.Retention = rec.Retention
				}
			})},
		{"a takeover keeps the retention of the run before", kept, on(nil,
			func(_ *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Running {
					t.Record.Retention = rec.Retention
				}
			})},
		{"a claim that loses changes the retention", kept, on(nil,
			func(op *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if !t.Applied && rec.State == store.Running {
					t.Record.Retention, t.Changed = op.Retention, true
				}
			})},
		{"a withdrawal changes the retention of the record", kept, on(nil,
			func(op *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				if t.Changed && rec.Token != op.Claim.Token {
					t.Record.Retention = op.Claim.Retention
				}
			})},
		{"a tombstone does not keep its retention", kept, on(nil,
			func(_ *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Absent {
					t.Record.Retention = 0
				}
			})},
	}
}

func forgetterBugs() []bug {
	return []bug{
		{"a forgetting ignores the token", forgetting, on(
			func(op *store.Forgetting, rec *store.Record, _ time.Time) { op.Token = rec.Token }, nil)},
		{"a forgetting ignores the fence", forgetting, on(
			func(op *store.Forgetting, rec *store.Record, _ time.Time) { op.Fence = rec.Fence }, nil)},
		{"a forced forgetting ignores what it names", forgetting, on(
			func(op *store.Forgetting, rec *store.Record, _ time.Time) {
				if op.Force {
					op.Token, op.Fence = rec.Token, rec.Fence
				}
			}, nil)},
		{"every forgetting is forced", forgetting, on(
			func(op *store.Forgetting, _ *store.Record, _ time.Time) { op.Force = true }, nil)},
		{"no forgetting is forced", forgetting, on(
			func(op *store.Forgetting, _ *store.Record, _ time.Time) { op.Force = false }, nil)},
		{"a forgetting looks at the lease alone", forgetting, on(
			func(_ *store.Forgetting, rec *store.Record, now time.Time) { rec.OwnerAliveUntil = now }, nil)},
		{"a forgetting does not look at the lease", forgetting, on(
			func(_ *store.Forgetting, rec *store.Record, now time.Time) { rec.LeaseUntil = now }, nil)},
		{"a completed record is not forgotten", forgetting, on(nil,
			func(_ *store.Forgetting, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Completed {
					*t = store.Transition{Record: rec}
				}
			})},
		{"a forgetting leaves a released record", forgetting, on(nil,
			func(_ *store.Forgetting, rec store.Record, _ time.Time, t *store.Transition) {
				if t.Changed {
					rec.State, rec.Outcome = store.Released, nil
					t.Record = rec
				}
			})},
		{"a copy of a forgetting is refused", forgetting, on(nil,
			func(_ *store.Forgetting, rec store.Record, _ time.Time, t *store.Transition) {
				t.Applied = t.Applied && rec.State != store.Absent
			})},
		{"a forgetting says that it has removed the record, and has not", forgetting, on(nil,
			func(_ *store.Forgetting, _ store.Record, _ time.Time, t *store.Transition) { t.Changed = false })},
	}
}

// reports is a bug in what a store says that it can do.
func reports(wrong func(can *store.Capabilities)) func(s *mapStore) {
	return func(s *mapStore) {
		whole := s.can
		s.can = func(s *mapStore) store.Capabilities {
			can := whole(s)
			wrong(&can)

			return can
		}
	}
}

// onceOnly is reports for what a store says the second time.
func onceOnly(wrong func(can *store.Capabilities)) func(s *mapStore) {
	return func(s *mapStore) {
		asked := false

		reports(func(can *store.Capabilities) {
			if asked {
				wrong(can)
			}

			asked = true
		})(s)
	}
}

func capabilityBugs() []bug {
	return []bug{
		{"an Inspector is not reported", capabilities, reports(func(can *store.Capabilities) { can.Inspector = nil })},
		{"a Forgetter is not reported", capabilities, reports(func(can *store.Capabilities) { can.Forgetter = nil })},
		{"a Notifier is not reported", capabilities, reports(func(can *store.Capabilities) { can.Notifier = nil })},
		{"a wrapper reports the store inside", capabilities, func(s *mapStore) {
			inner := newMapStore()
			s.can = func(*mapStore) store.Capabilities { return inner.Capabilities() }
		}},
		{"a capability is a nil pointer", capabilities, reports(func(can *store.Capabilities) { can.Lister = (*txstore.Store)(nil) })},
		{"a Transactional is no Inspector", capabilities, reports(func(can *store.Capabilities) {
			can.Inspector, can.Transactional = nil, txstore.New()
		})},
		{"a home cannot be compared", capabilities, reports(func(can *store.Capabilities) { can.Home = []string{"here"} })},
		{"a home changes", capabilities, reports(func(can *store.Capabilities) { can.Home = new(int) })},
		{"an unknown retention is negative", capabilities, reports(func(can *store.Capabilities) { can.UnknownRetention = -1 })},
		{"a capability comes and goes", capabilities, onceOnly(func(can *store.Capabilities) { can.Inspector = nil })},
		{"a flag comes and goes", capabilities, onceOnly(func(can *store.Capabilities) { can.Immediate = false })},
	}
}

// letsGo makes a store that keeps unsettled records for a month.
func letsGo(s *mapStore) {
	reports(func(can *store.Capabilities) { can.UnknownRetention = 30 * 24 * time.Hour })(s)
}

// lasting is a bug in how long a store keeps unsettled records.
func lasting(wrong func(rec *store.Record, life time.Duration, now time.Time)) func(s *mapStore) {
	return func(s *mapStore) {
		letsGo(s)
		s.keep = wrong
	}
}

func unknownBugs() []bug {
	return []bug{
		{"an unknown retention does not end", unsettled, lasting(func(*store.Record, time.Duration, time.Time) {})},
		{"an unknown retention ends too early", unsettled, lasting(func(rec *store.Record, life time.Duration, now time.Time) {
			rec.KeepUnsettled(life-time.Hour, now)
		})},
		{"an unknown retention ends before the owner", unsettled, lasting(
			func(rec *store.Record, life time.Duration, now time.Time) {
				if rec.State == store.Running || rec.State == store.Unknown {
					rec.ExpiresAt = now.Add(life)
				}
			})},
		{"an unknown retention counts from the first start", unsettled, lasting(
			func(rec *store.Record, life time.Duration, _ time.Time) { rec.KeepUnsettled(life, rec.FirstStart) })},
		{"an unknown retention ends a settled record", kept, lasting(func(rec *store.Record, life time.Duration, now time.Time) {
			rec.ExpiresAt = now.Add(life)
		})},
	}
}
