package store_test

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// step is a drawn operation.
type step struct {
	name  string
	token store.Token
	apply func(rec store.Record, now time.Time) store.Transition
}

// draw makes an operation from three bytes, which choose the operation, its owner and its content.
func draw(b [3]byte, rec store.Record) step {
	token := store.Token{b[1]%4 + 1}
	outcome := []byte{b[2] % 2}
	span := time.Duration(b[2]%5) * time.Minute
	claim := store.Claim{
		Token: token, Fence: rec.Fence - min(rec.Fence, uint64(b[2]%4/3)), Lease: span, MaxRun: span / 2,
		Fingerprint: store.Fingerprint{Scheme: 1, Sum: [32]byte{b[1] / 4 % 8 / 7}}, Guarantee: store.Guarantee(b[2] / 4 % 4),
		MaxAttempts: uint32(b[2] / 16 % 4), Retention: time.Duration(1+b[2]/64) * 10 * time.Minute,
	}

	switch b[0] % 9 {
	case 0, 1, 2:
		return step{"claim", token, claim.Apply}
	case 3:
		return step{"renew", token, (&store.Renewal{Token: token, Lease: span}).Apply}
	case 4:
		return step{"complete", token, (&store.Completion{Token: token, Outcome: outcome}).Apply}
	case 5:
		return step{"release", token, (&store.Release{Claim: claim}).Apply}
	case 6:
		return step{"hold", token, (&store.Hold{Token: token, Outcome: outcome}).Apply}
	case 7:
		named := token
		if b[2]/4%2 == 0 {
			named = rec.Token
		}

		return step{"forget", named, (&store.Forgetting{Token: named, Fence: claim.Fence, Force: b[2]/8%2 == 0}).Apply}
	default:
		state := []store.State{store.Released, store.Completed, store.Running}[b[1]%3]
		named := token

		if b[2]/4%2 == 0 {
			named = rec.Token
		}

		return step{"resolve", named, (&store.Resolution{
			Token: named, Fence: claim.Fence, State: state, Outcome: outcome,
		}).Apply}
	}
}

// FuzzSequences applies operations in any order and at any time, and checks the invariants after each one.
func FuzzSequences(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 2, 0, 3, 0, 2, 200, 4, 0, 1, 0})
	f.Add([]byte{0, 0, 10, 255, 0, 1, 14, 0, 4, 0, 1, 0, 4, 1, 1, 0})
	f.Add([]byte{5, 0, 3, 0, 0, 0, 3, 0, 0, 1, 7, 0, 6, 1, 1, 0, 8, 1, 2, 255, 4, 1, 0, 0})
	f.Add([]byte{0, 0, 2, 0, 7, 0, 0, 255, 0, 0, 2, 0, 4, 0, 1, 0, 7, 0, 8, 0})

	f.Fuzz(func(t *testing.T, input []byte) {
		var rec store.Record

		at := now

		for ; len(input) >= 4; input = input[4:] {
			op := draw([3]byte(input), rec)
			at = at.Add(time.Duration(input[3]) * 5 * time.Second)

			got := op.apply(rec, at)
			check(t, op, rec, got, at)
			checkRepeat(t, op, got, at)

			if got.Changed {
				rec = got.Record
			} else if rec.Expired(at) {
				rec = store.Record{}
			}
		}
	})
}

func check(t *testing.T, op step, before store.Record, got store.Transition, at time.Time) {
	t.Helper()

	if before.Expired(at) {
		before = store.Record{}
	}

	after := got.Record

	if !got.Changed {
		if d := diff(before, after); d != "" {
			t.Fatalf("%s is said to have changed nothing, and did: %s", op.name, d)
		}
	}

	if before.State == store.Absent {
		return
	}

	if op.name == "forget" && got.Changed {
		checkForgotten(t, op, before, after)

		return
	}

	started := op.name == "claim" && got.Changed && before.Token != after.Token

	switch {
	case after.State == store.Absent:
		t.Fatalf("%s removed a %v record", op.name, before.State)
	case after.Fence < before.Fence:
		t.Fatalf("%s took the fence from %d to %d", op.name, before.Fence, after.Fence)
	case before.State == store.Completed && got.Changed:
		t.Fatalf("%s changed a COMPLETED record", op.name)
	case after.Fingerprint != before.Fingerprint:
		t.Fatalf("%s changed the fingerprint", op.name)
	case before.Token != after.Token && (!started || after.Fence == before.Fence):
		t.Fatalf("%s made another token the owner, with fence %d after %d", op.name, after.Fence, before.Fence)
	case started && (before.LeaseAlive(at) || before.State == store.Unknown):
		t.Fatalf("%s took over a %v record", op.name, before.State)
	case started && before.State == store.Running && !before.Guarantee.TakeoverAllowed():
		t.Fatalf("%s took over under AT_MOST_ONCE", op.name)
	case before.Token != op.token && !started && after.State != before.State:
		t.Fatalf("%s by another token changed the record from %v to %v", op.name, before.State, after.State)
	case op.name == "resolve" && after.State == store.Released && got.Changed && at.Before(before.OwnerAliveUntil):
		t.Fatal("a record was resolved as RELEASED while its owner may be alive")
	case !started && after.Retention != before.Retention:
		t.Fatalf("%s changed the retention from %v to %v", op.name, before.Retention, after.Retention)
	case got.Changed && after.State >= store.Released && after.ExpiresAt != after.EndedAt.Add(before.Retention):
		t.Fatalf("%s settled a record with a retention of %v, and it expires after %v", op.name, before.Retention,
			after.ExpiresAt.Sub(after.EndedAt))
	case before.State == store.Running && after.State == store.Running && !before.LeaseAlive(at) &&
		after.LeaseAlive(at) && after.Fence == before.Fence:
		t.Fatalf("%s brought an ended lease back with its fence", op.name)
	case (after.State == store.Running || after.State == store.Unknown) && !after.ExpiresAt.IsZero():
		t.Fatalf("%s left a %v record that expires", op.name, after.State)
	}
}

func checkForgotten(t *testing.T, op step, before, after store.Record) {
	t.Helper()

	if op.token != before.Token || after.State != store.Absent {
		t.Fatalf("a forgetting of token %v made the %v record of token %v %v", op.token, before.State, before.Token, after.State)
	}
}

// checkRepeat lets a copy of the operation arrive right behind it.
func checkRepeat(t *testing.T, op step, first store.Transition, at time.Time) {
	t.Helper()

	// A retention or a lease of zero has ended already, and the copy is another life or another revival.
	if first.Record.Expired(at) || first.Record.State == store.Running && !first.Record.LeaseAlive(at) {
		return
	}

	again := op.apply(first.Record, at)

	if again.Applied != first.Applied {
		t.Fatalf("%s was applied=%t and its copy applied=%t", op.name, first.Applied, again.Applied)
	}

	if d := diff(first.Record, again.Record); d != "" {
		t.Fatalf("the copy of %s changed the record: %s", op.name, d)
	}
}
