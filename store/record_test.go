package store_test

import (
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
