package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestFingerprintDiffers(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name string
		a, b store.Fingerprint
		want bool
	}{
		{"the same request", theSum, theSum, false},
		{"another request", theSum, otherSum, true},
		{"another scheme", otherSum, newScheme, false},
		{"another scheme and another request", theSum, newScheme, false},
		{"none", store.Fingerprint{}, store.Fingerprint{}, false},
		{"none and one", store.Fingerprint{}, theSum, false},
	} {
		if a, b := tc.a.Differs(tc.b), tc.b.Differs(tc.a); a != tc.want || b != tc.want {
			t.Errorf("%s: %t and %t, must be %t", tc.name, a, b, tc.want)
		}
	}
}

func TestStricter(t *testing.T) {
	t.Parallel()

	const (
		most, least, exactly = store.AtMostOnce, store.AtLeastOnce, store.ExactlyOnce
	)

	for _, tc := range [][3]store.Guarantee{
		{0, 0, most},
		{0, least, most},
		{0, exactly, most},
		{99, least, most},
		{most, most, most},
		{most, least, most},
		{most, exactly, most},
		{least, least, least},
		{least, exactly, exactly},
		{exactly, exactly, exactly},
	} {
		if a, b := store.Stricter(tc[0], tc[1]), store.Stricter(tc[1], tc[0]); a != tc[2] || b != tc[2] {
			t.Errorf("the stricter of %v and %v: %v and %v, must be %v", tc[0], tc[1], a, b, tc[2])
		}
	}
}

// The numbers and names are stored and shown, and never change.
func TestNumbersAndNames(t *testing.T) {
	t.Parallel()

	for number, name := range map[store.State]string{
		0: "ABSENT", 1: "RUNNING", 2: "UNKNOWN", 3: "RELEASED", 4: "COMPLETED", 5: "State(5)",
	} {
		if number.String() != name {
			t.Errorf("state %d is %v, must be %s", uint8(number), number, name)
		}
	}

	for number, name := range map[store.Guarantee]string{
		0: "AT_MOST_ONCE", 1: "AT_MOST_ONCE", 2: "AT_LEAST_ONCE", 3: "EXACTLY_ONCE", 4: "Guarantee(4)",
	} {
		if number.String() != name {
			t.Errorf("guarantee %d is %v, must be %s", uint8(number), number, name)
		}
	}

	if got, want := (store.Key{0xab, 31: 1}).String(), "ab"+"000000000000000000000000000000000000000000000000000000000000"+"01"; got != want {
		t.Errorf("a key is %s, must be %s", got, want)
	}
}

func TestParseKeyReadsWhatStringWrites(t *testing.T) {
	t.Parallel()

	key := store.Key{0xab, 0xff, 31: 1}
	for _, text := range []string{key.String(), strings.ToUpper(key.String())} {
		if got, err := store.ParseKey(text); got != key || err != nil {
			t.Errorf("ParseKey(%q) is %v and %v, must be %v", text, got, err, key)
		}
	}

	whole := key.String()
	for _, text := range []string{"", "ab", whole[1:], whole[:63] + "g", whole + "0", whole + "00", " " + whole, whole[:62] + "é"} {
		if got, err := store.ParseKey(text); err == nil || got != (store.Key{}) {
			t.Errorf("ParseKey(%q) is %v and %v, must fail", text, got, err)
		}
	}
}

func TestAnOwnerMayBeAliveUntilItsLeaseAndItsLongestRunAreOver(t *testing.T) {
	t.Parallel()

	for state, want := range map[store.State][2]bool{
		store.Absent: {}, store.Running: {true, true}, store.Unknown: {true, false}, store.Released: {}, store.Completed: {},
	} {
		run := store.Record{State: state, OwnerAliveUntil: now, LeaseUntil: now.Add(-time.Hour)}
		if got := run.OwnerMayBeAlive(now.Add(-1)); got != want[0] || run.OwnerMayBeAlive(now) {
			t.Errorf("%v, up to the end of the longest run: %t, must be %t and end there", state, got, want[0])
		}

		// The owner of a doubtful record may have been overtaken by another owner, which released it.
		run.Doubtful = true
		if got := run.OwnerMayBeAlive(now.Add(-1)); got != (want[0] || state == store.Released) || run.OwnerMayBeAlive(now) {
			t.Errorf("%v in doubt, up to the end of the longest run: %t", state, got)
		}

		lease := store.Record{State: state, OwnerAliveUntil: now.Add(-time.Hour), LeaseUntil: now}
		if got := lease.OwnerMayBeAlive(now.Add(-1)); got != want[1] || lease.OwnerMayBeAlive(now) {
			t.Errorf("%v, up to the end of the lease: %t, must be %t and end there", state, got, want[1])
		}
	}
}

func TestAnUnsettledRecordExpiresAfterItsOwner(t *testing.T) {
	t.Parallel()

	const hour = time.Hour

	for _, tc := range []struct {
		name         string
		state        store.State
		alive, lease time.Duration
		want         time.Time
	}{
		{"running", store.Running, -hour, -hour, now.Add(hour)},
		{"running, the owner may live longer", store.Running, 2 * hour, -hour, now.Add(2 * hour)},
		{"running, the lease is longer", store.Running, -hour, 3 * hour, now.Add(3 * hour)},
		{"unknown", store.Unknown, -hour, 3 * hour, now.Add(hour)},
		{"unknown, the owner may live longer", store.Unknown, 2 * hour, -hour, now.Add(2 * hour)},
		{"completed", store.Completed, 2 * hour, 3 * hour, now.Add(-time.Minute)},
		{"released", store.Released, 2 * hour, 3 * hour, now.Add(-time.Minute)},
	} {
		rec := store.Record{
			State: tc.state, OwnerAliveUntil: now.Add(tc.alive), LeaseUntil: now.Add(tc.lease), ExpiresAt: now.Add(-time.Minute),
		}
		rec.KeepUnsettled(hour, now)

		if rec.ExpiresAt != tc.want {
			t.Errorf("%s: expires at %v, must be %v", tc.name, rec.ExpiresAt, tc.want)
		}
	}
}

func TestAResultIsUnknownOnceItsLeaseHasEnded(t *testing.T) {
	t.Parallel()

	for state, want := range map[store.State][2]bool{
		store.Absent: {}, store.Running: {false, true}, store.Unknown: {true, true}, store.Released: {}, store.Completed: {},
	} {
		rec := store.Record{State: state, LeaseUntil: now}
		before, at := store.Result{Record: rec, Now: now.Add(-1)}, store.Result{Record: rec, Now: now}

		if before.Unknown() != want[0] || at.Unknown() != want[1] {
			t.Errorf("%v: unknown is %t under the lease and %t after it, must be %t and %t",
				state, before.Unknown(), at.Unknown(), want[0], want[1])
		}
	}
}

func TestARefusedCommitWasRolledBack(t *testing.T) {
	t.Parallel()

	cause := errors.New("violates foreign key constraint")
	err := error(&store.RefusedError{Err: cause})

	if !errors.Is(err, store.ErrRolledBack) || !errors.Is(err, cause) || errors.Is(err, store.ErrConflict) {
		t.Errorf("%v must match ErrRolledBack and its cause, and not ErrConflict", err)
	}

	if !strings.HasSuffix(err.Error(), cause.Error()) {
		t.Errorf("%q does not tell the cause", err)
	}
}

func TestALeaseAndARetentionEndAtTheirEnd(t *testing.T) {
	t.Parallel()

	rec := store.Record{State: store.Running, LeaseUntil: now}
	if !rec.LeaseAlive(now.Add(-1)) || rec.LeaseAlive(now) {
		t.Error("a lease is alive up to its end, and not at it")
	}

	rec = store.Record{State: store.Completed, LeaseUntil: now.Add(time.Hour), ExpiresAt: now}
	if rec.LeaseAlive(now) {
		t.Error("only a running record has a lease")
	}

	if rec.Expired(now.Add(-1)) || !rec.Expired(now) {
		t.Error("a retention is not over up to its end, and is at it")
	}

	rec.ExpiresAt = time.Time{}
	if rec.Expired(now.AddDate(1000, 0, 0)) {
		t.Error("a record that never expires has expired")
	}
}
