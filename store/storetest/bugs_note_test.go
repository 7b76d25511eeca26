package storetest

import (
	"bytes"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// loses is a bug of one kind of operation, which loses the note of a record that it leaves in a state.
func loses[Op any](state store.State) func(s *mapStore) {
	return on(nil, func(_ *Op, _ store.Record, _ time.Time, t *store.Transition) {
		if t.Record.State == state {
			t.Record.Outcome = nil
		}
	})
}

// leaves is a bug of one kind of operation, which leaves the note of the run where it must not stay.
func leaves[Op any]() func(s *mapStore) {
	return on(nil, func(_ *Op, rec store.Record, _ time.Time, t *store.Transition) {
		if t.Applied && t.Changed && rec.State == store.Running {
			t.Record.Outcome = rec.Outcome
		}
	})
}

func noteBugs() []bug {
	return []bug{
		{"a claim keeps no note", notes, loses[store.Claim](store.Running)},
		{"a renewal loses the note", notes, loses[store.Renewal](store.Running)},
		{"a resolution as released keeps no note", notes, loses[store.Resolution](store.Released)},
		{"a lookup does not tell the note", notes, decides(func(op any, rec store.Record, now time.Time) store.Transition {
			t := decide(op, rec, now)
			if op == nil && t.Record.State == store.Running {
				t.Record.Outcome = nil
			}

			return t
		})},
		{"a note ends at the first zero byte", notes, on(func(op *store.Claim, _ *store.Record, _ time.Time) {
			op.Note, _, _ = bytes.Cut(op.Note, []byte{0})
		}, nil)},
		{"a note is cut off after 65,535 bytes", notes, on(func(op *store.Claim, _ *store.Record, _ time.Time) {
			op.Note = op.Note[:min(len(op.Note), 65_535)]
		}, nil)},
		{"a takeover leaves the note of the run before", notes, leaves[store.Claim]()},
		{"a hold leaves the note of the claim", notes, leaves[store.Hold]()},
		{"a release leaves the note of the claim", notes, leaves[store.Release]()},
		{"a claim that loses leaves its note", notes, on(nil,
			func(op *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if !t.Applied && rec.State == store.Running {
					t.Record.Outcome, t.Changed = op.Note, true
				}
			})},
		{"a claim of a released key leaves the note of the release", notes, on(nil,
			func(_ *store.Claim, rec store.Record, _ time.Time, t *store.Transition) {
				if t.Changed && rec.State == store.Released {
					t.Record.Outcome = rec.Outcome
				}
			})},
		{"a tombstone has the note of the claim", notes, on(nil,
			func(op *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				if rec.State == store.Absent {
					t.Record.Outcome = op.Claim.Note
				}
			})},
		{"a copy of a resolution as released replaces the note", notes, on(nil,
			func(op *store.Resolution, rec store.Record, _ time.Time, t *store.Transition) {
				if t.Applied && rec.State == store.Released {
					t.Record.Outcome, t.Changed = op.Outcome, true
				}
			})},
		{"a completion keeps the note in front of the outcome", notes, on(nil,
			func(op *store.Completion, rec store.Record, _ time.Time, t *store.Transition) {
				if t.Changed && rec.State == store.Running {
					t.Record.Outcome = append(bytes.Clone(rec.Outcome), op.Outcome...)
				}
			})},
	}
}

// lists is a bug in what is listed as unknown, or as running.
func lists(unknown, running func(rec *store.Record, now time.Time) bool) func(s *mapStore) {
	return func(s *mapStore) {
		if unknown != nil {
			s.unknown = unknown
		}

		if running != nil {
			s.running = running
		}
	}
}

func listerBugs() []bug {
	return []bug{
		{"a run without a lease is not listed as unknown", lister, lists(func(rec *store.Record, _ time.Time) bool {
			return rec.State == store.Unknown
		}, nil)},
		{"a held run is not listed as unknown", lister, lists(func(rec *store.Record, now time.Time) bool {
			return rec.State == store.Running && !rec.LeaseAlive(now)
		}, nil)},
		{"nothing is listed as running", runningLister, lists(nil, func(*store.Record, time.Time) bool { return false })},
		{"a run without a lease is listed as running", runningLister, lists(nil, func(rec *store.Record, _ time.Time) bool {
			return rec.State == store.Running
		})},
		{"a held run is listed as running", runningLister, lists(nil, func(rec *store.Record, now time.Time) bool {
			return rec.LeaseAlive(now) || rec.State == store.Unknown
		})},
		{"a settled run is listed as running", runningLister, lists(nil, func(rec *store.Record, now time.Time) bool {
			return now.Before(rec.LeaseUntil)
		})},
		{"a later run is not listed as running", runningLister, lists(nil, func(rec *store.Record, now time.Time) bool {
			return rec.LeaseAlive(now) && rec.Fence == 1
		})},
	}
}
