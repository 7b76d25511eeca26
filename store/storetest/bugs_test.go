package storetest

import (
	"bytes"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// A bug is a way in which a store can be wrong, and the rule that the suite must name.
type bug struct {
	name string
	rule rule
	// breaks puts the bug into a store.
	breaks func(s *mapStore)
}

type transition func(op any, rec store.Record, now time.Time) store.Transition

// decides is a bug in the transition table.
func decides(wrong transition) func(s *mapStore) {
	return func(s *mapStore) { s.decide = wrong }
}

// on changes what one kind of operation sees and does. Before may change the operation and the record, after may change
// what was decided; either may be nil.
func on[Op any](
	before func(op *Op, rec *store.Record, now time.Time),
	after func(op *Op, rec store.Record, now time.Time, t *store.Transition),
) func(s *mapStore) {
	return decides(func(op any, rec store.Record, now time.Time) store.Transition {
		mine, ok := op.(*Op)
		if !ok {
			return decide(op, rec, now)
		}

		if rec.Expired(now) {
			rec = store.Record{}
		}

		was := rec
		if before != nil {
			before(mine, &rec, now)
		}

		t := decide(op, rec, now)
		if after != nil {
			after(mine, was, now, &t)
		}

		return t
	})
}

// sees changes the record that every operation sees.
func sees(wrong func(rec *store.Record, now time.Time)) func(s *mapStore) {
	return decides(func(op any, rec store.Record, now time.Time) store.Transition {
		wrong(&rec, now)

		return decide(op, rec, now)
	})
}

func overwrite(t *store.Transition, state store.State, outcome []byte) {
	t.Record.State, t.Record.Outcome = state, outcome
	t.Applied, t.Changed = true, true
}

func tableBugs() []bug {
	return []bug{
		{"a claim ignores the expected fence", expectedFence, on(func(op *store.Claim, rec *store.Record, _ time.Time) {
			op.Fence = rec.Fence
		}, nil)},
		{"a takeover ignores the expected fence", expectedFence, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) {
				if rec.State == store.Running {
					op.Fence = rec.Fence
				}
			}, nil)},
		{"a claim wins against a living lease", atomicity, on(func(_ *store.Claim, rec *store.Record, now time.Time) {
			if rec.State == store.Running {
				rec.LeaseUntil = now
			}
		}, nil)},
		{"a release does not check the token", fenced, on(func(op *store.Release, rec *store.Record, _ time.Time) {
			if rec.State != store.Absent {
				op.Claim.Token = rec.Token
			}
		}, nil)},
		{"a completion does not check the token", fenced, on(
			func(op *store.Completion, rec *store.Record, _ time.Time) { op.Token = rec.Token }, nil)},
		{"a renewal does not check the token", fenced, on(
			func(op *store.Renewal, rec *store.Record, _ time.Time) { op.Token = rec.Token }, nil)},
		{"a second outcome overwrites the first", finality, on(nil,
			func(op *store.Completion, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Completed && rec.Token == op.Token {
					overwrite(t, store.Completed, op.Outcome)
				}
			})},
		{"a second outcome counts as the first", resends, on(nil,
			func(op *store.Completion, rec store.Record, _ time.Time, t *store.Transition) {
				t.Applied = t.Applied || rec.State == store.Completed && rec.Token == op.Token
			})},
		{"a hold after the completion changes it", finality, on(nil,
			func(op *store.Hold, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Completed && rec.Token == op.Token {
					overwrite(t, store.Unknown, op.Outcome)
				}
			})},
		{"a release after the completion changes it", finality, on(nil,
			func(op *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Completed && rec.Token == op.Claim.Token {
					overwrite(t, store.Released, nil)
				}
			})},
		{"a renewal brings a run back", fenced, on(nil,
			func(op *store.Renewal, rec store.Record, now time.Time, t *store.Transition) {
				if rec.State == store.Released && rec.Token == op.Token {
					overwrite(t, store.Running, nil)
					t.Record.LeaseUntil = now.Add(op.Lease)
				}
			})},
		{"a late completion is refused", settlement, on(nil,
			func(_ *store.Completion, rec store.Record, now time.Time, t *store.Transition) {
				if rec.State == store.Running && !rec.LeaseAlive(now) {
					*t = store.Transition{Record: rec}
				}
			})},
		{"a completion forgets the token", resends, on(nil,
			func(_ *store.Completion, _ store.Record, _ time.Time, t *store.Transition) {
				if t.Changed {
					t.Record.Token = store.Token{}
				}
			})},
		{"a claim that finds its own token has lost", resends, on(nil,
			func(op *store.Claim, rec store.Record, now time.Time, t *store.Transition) {
				if rec.Token == op.Token && rec.LeaseAlive(now) {
					t.Applied = false
				}
			})},
		{"a repeated release has lost", resends, on(nil,
			func(_ *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				t.Applied = t.Applied && rec.State != store.Released
			})},
		{"an ended lease is brought back with its fence", revival, on(nil,
			func(_ *store.Renewal, rec store.Record, _ time.Time, t *store.Transition) { t.Record.Fence = rec.Fence })},
		{"a takeover keeps the fence", fenceOrder, on(nil,
			func(_ *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Running {
					t.Record.Fence = rec.Fence
				}
			})},
		{"a release takes the fence back", fenceOrder, on(nil,
			func(_ *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Released && t.Changed {
					t.Record.Fence = 1
				}
			})},
		{"a completion raises the fence", fenceOrder, on(nil,
			func(_ *store.Completion, _ store.Record, _ time.Time, t *store.Transition) {
				if t.Changed {
					t.Record.Fence++
				}
			})},
	}
}

func ruleBugs() []bug {
	return []bug{
		{"a release before its claim leaves nothing", withdrawal, on(nil,
			func(_ *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Absent {
					*t = store.Transition{Applied: true}
				}
			})},
		{"a release of a losing claim leaves the fence", withdrawal, on(nil,
			func(op *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.Token != op.Claim.Token && rec.State != store.Absent {
					*t = store.Transition{Record: rec}
				}
			})},
		{"a release of a losing claim raises the fence with every copy", withdrawal, on(
			func(op *store.Release, rec *store.Record, _ time.Time) {
				if op.Claim.Fence != 0 && rec.Fence > op.Claim.Fence {
					op.Claim.Fence = rec.Fence
				}
			}, nil)},
		{"a released token may claim again", withdrawal, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) {
				if rec.State == store.Released && rec.Token == op.Token {
					rec.Token, op.Fence = store.Token{}, rec.Fence
				}
			}, nil)},
		{"the fingerprint is ignored while RUNNING", binding, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) {
				if rec.State == store.Running {
					op.Fingerprint = rec.Fingerprint
				}
			}, nil)},
		{"the fingerprint is ignored when RELEASED", binding, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) {
				if rec.State == store.Released {
					op.Fingerprint = rec.Fingerprint
				}
			}, nil)},
		{"a tombstone has no fingerprint", binding, on(nil,
			func(_ *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Absent {
					t.Record.Fingerprint = store.Fingerprint{}
				}
			})},
		{"a later run replaces the fingerprint", binding, on(nil,
			func(op *store.Claim, _ store.Record, _ time.Time, t *store.Transition) {
				if t.Changed {
					t.Record.Fingerprint = op.Fingerprint
				}
			})},
		{"another scheme is another request", binding, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) {
				if rec.State != store.Absent && op.Fingerprint.Scheme != rec.Fingerprint.Scheme {
					op.Fence = rec.Fence + 1
				}
			}, nil)},
		{"a takeover runs again under AT_MOST_ONCE", guarantee, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) {
				op.Guarantee, rec.Guarantee = store.AtLeastOnce, store.AtLeastOnce
			}, nil)},
		{"the guarantee of the claim decides alone", guarantee, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) { rec.Guarantee = op.Guarantee }, nil)},
		{"a takeover leaves no doubt", doubt, on(nil,
			func(_ *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				t.Record.Doubtful = rec.Doubtful
			})},
		{"an ambiguous release leaves no doubt", doubt, on(
			func(op *store.Release, _ *store.Record, _ time.Time) { op.Ambiguous = false }, nil)},
		{"a new run forgets the doubt", doubt, on(nil,
			func(_ *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if t.Changed && rec.State == store.Released {
					t.Record.Doubtful = false
				}
			})},
		{"MaxAttempts is ignored", attempts, on(
			func(op *store.Claim, _ *store.Record, _ time.Time) { op.MaxAttempts = 0 }, nil)},
		{"a run is taken over however old", takeoverAge, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) {
				op.Retention, rec.Retention = 1000*long, 1000*long
			}, nil)},
		{"a run is taken over however short its own retention", takeoverAge, on(
			func(op *store.Claim, rec *store.Record, _ time.Time) { rec.Retention = op.Retention }, nil)},
		{"a takeover moves the first start", takeoverAge, on(nil,
			func(_ *store.Claim, rec store.Record, now time.Time, t *store.Transition) {
				if t.Changed && rec.State == store.Running {
					t.Record.FirstStart = now
				}
			})},
		{"a running record expires with its lease", unsettled, sees(func(rec *store.Record, now time.Time) {
			if rec.State == store.Running && !rec.LeaseAlive(now) {
				*rec = store.Record{}
			}
		})},
		{"an unknown record expires", unsettled, sees(func(rec *store.Record, now time.Time) {
			if rec.State == store.Unknown && now.Sub(rec.EndedAt) > 24*time.Hour {
				*rec = store.Record{}
			}
		})},
		{"a run after a release expires with the release", unsettled, on(nil,
			func(_ *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if t.Changed {
					t.Record.ExpiresAt = rec.ExpiresAt
				}
			})},
		{"a record is lost just before its retention ends", finality, sees(
			func(rec *store.Record, now time.Time) {
				if now.Equal(rec.ExpiresAt.Add(-1)) {
					*rec = store.Record{}
				}
			})},
		{"a tombstone is lost just before its retention ends", withdrawal, sees(
			func(rec *store.Record, now time.Time) {
				if now.Equal(rec.ExpiresAt.Add(-1)) {
					*rec = store.Record{}
				}
			})},
		{"a record is still there when its retention ends", atomicity, sees(
			func(rec *store.Record, now time.Time) {
				if now.Equal(rec.ExpiresAt) {
					rec.ExpiresAt = rec.ExpiresAt.Add(1)
				}
			})},
		{"a lease is still alive when it ends", atomicity, sees(func(rec *store.Record, now time.Time) {
			if now.Equal(rec.LeaseUntil) {
				rec.LeaseUntil = rec.LeaseUntil.Add(1)
			}
		})},
		{"a repeated completion extends the retention", finality, on(nil,
			func(_ *store.Completion, rec store.Record, now time.Time, t *store.Transition) {
				if t.Applied {
					t.Record.ExpiresAt, t.Changed = now.Add(rec.Retention), true
				}
			})},
	}
}

func optionalBugs() []bug {
	return []bug{
		{"a late owner overwrites a resolution", settlement, on(
			func(_ *store.Completion, rec *store.Record, _ time.Time) {
				if rec.Resolved {
					rec.State = store.Unknown
				}
			}, nil)},
		{"a late renewal revives what was resolved as released", settlement, on(
			func(_ *store.Renewal, rec *store.Record, _ time.Time) {
				if rec.Resolved {
					rec.State = store.Running
				}
			}, nil)},
		{"a resolution leaves no mark", settlement, on(nil,
			func(_ *store.Resolution, rec store.Record, _ time.Time, t *store.Transition) {
				t.Record.Resolved = rec.Resolved
			})},
		{"a resolution drops the token", inspector, on(nil,
			func(_ *store.Resolution, _ store.Record, _ time.Time, t *store.Transition) {
				if t.Changed {
					t.Record.Token = store.Token{}
				}
			})},
		{"a resolution ignores the fence", inspector, on(
			func(op *store.Resolution, rec *store.Record, _ time.Time) { op.Fence = rec.Fence }, nil)},
		{"a careless resolution as released", ownerAlive, on(
			func(_ *store.Resolution, rec *store.Record, now time.Time) { rec.OwnerAliveUntil = now }, nil)},
		{"a resolution does not go back to its look", ownerAlive, on(
			func(op *store.Resolution, _ *store.Record, _ time.Time) { op.AsOf = time.Time{} }, nil)},
		{"a resolution of a living run", ownerAlive, on(
			func(_ *store.Resolution, rec *store.Record, now time.Time) { rec.LeaseUntil = now }, nil)},
		{"a resolution changes a completed record", finality, on(
			func(_ *store.Resolution, rec *store.Record, _ time.Time) {
				if rec.State == store.Completed && !rec.Resolved {
					rec.State = store.Unknown
				}
			}, nil)},
		{"a lookup finds what has expired", inspector, decides(
			func(op any, rec store.Record, now time.Time) store.Transition {
				if op == nil {
					return store.Transition{Record: rec}
				}

				return decide(op, rec, now)
			})},
		{"a lookup leaves a trace", inspector, decides(
			func(op any, rec store.Record, now time.Time) store.Transition {
				t := decide(op, rec, now)
				if op == nil && t.Record.State == store.Running {
					t.Record.Attempts++
					t.Changed = true
				}

				return t
			})},
		{"a hold wakes nobody", notifier, func(s *mapStore) {
			s.wakes = func(rec *store.Record) bool { return rec.State >= store.Released }
		}},
		{"a tombstone wakes nobody", notifier, func(s *mapStore) {
			s.wakes = func(rec *store.Record) bool { return rec.State != store.Running && rec.Attempts != 0 }
		}},
		{"nothing wakes anybody", notifier, func(s *mapStore) {
			s.wakes = func(*store.Record) bool { return false }
		}},
		{"one stopped watch stops all", notifier, func(s *mapStore) {
			s.unwatch = func(s *mapStore, key store.Key, _ chan struct{}) { delete(s.watches, key) }
		}},
		{"an operation that has failed leaves half of itself", cancelled, func(s *mapStore) {
			s.cancelled = func(s *mapStore, key store.Key, err error) error {
				rec := s.records[key]
				rec.State = store.Unknown
				s.records[key] = rec

				return err
			}
		}},
		{"an operation under an ended context claims to have succeeded", cancelled, func(s *mapStore) {
			s.cancelled = func(*mapStore, store.Key, error) error { return nil }
		}},
		{"an operation reads and then writes", atomicity, func(s *mapStore) {
			s.pause = func() { time.Sleep(time.Nanosecond) }
		}},
		{"an outcome ends at the first zero byte", contents, on(
			func(op *store.Completion, _ *store.Record, _ time.Time) {
				op.Outcome, _, _ = bytes.Cut(op.Outcome, []byte{0})
			}, nil)},
		{"the readable key is lost at completion", contents, on(nil,
			func(_ *store.Completion, _ store.Record, _ time.Time, t *store.Transition) { t.Record.ReadableKey = "" })},
		{"a renewal shortens the lease", contents, on(nil,
			func(op *store.Renewal, _ store.Record, now time.Time, t *store.Transition) {
				if t.Applied {
					t.Record.LeaseUntil = now.Add(op.Lease)
				}
			})},
		{"a takeover forgets that the owner before may be alive", contents, on(nil,
			func(op *store.Claim, _ store.Record, now time.Time, t *store.Transition) {
				if t.Changed {
					t.Record.OwnerAliveUntil = now.Add(op.Lease + op.MaxRun)
				}
			})},
		{"a run that begins late counts as begun at once", ownerAlive, on(nil,
			func(op *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.Token == op.Token {
					t.Record.OwnerAliveUntil = rec.OwnerAliveUntil
				}
			})},
		{"a run that begins late forgets that the owner before may be alive", ownerAlive, on(nil,
			func(op *store.Claim, rec store.Record, now time.Time, t *store.Transition) {
				if rec.Token == op.Token && t.Changed {
					t.Record.OwnerAliveUntil = now.Add(op.MaxRun + op.Lease)
				}
			})},
		{"a hold of a third run forgets the first start", table, on(nil,
			func(_ *store.Hold, rec store.Record, _ time.Time, t *store.Transition) {
				if t.Changed && rec.Fence > 2 {
					t.Record.FirstStart = time.Time{}
				}
			})},
	}
}
