package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// meaning compares the owner, the state and the outcome of two records.
func meaning(got, want *store.Record) string {
	var d difference

	if got.State == store.Absent && want.State == store.Absent {
		return ""
	}

	d.field("State", got.State, want.State)
	d.field("Token", got.Token, want.Token)
	d.field("Fence", got.Fence, want.Fence)
	d.field("Guarantee", got.Guarantee, want.Guarantee)
	d.field("Fingerprint.Scheme", got.Fingerprint.Scheme, want.Fingerprint.Scheme)
	d.field("Fingerprint.Sum", got.Fingerprint.Sum, want.Fingerprint.Sum)
	d.field("Attempts", got.Attempts, want.Attempts)
	d.field("Doubtful", got.Doubtful, want.Doubtful)
	d.field("Resolved", got.Resolved, want.Resolved)
	d.field("Method", got.Method, want.Method)
	d.field("ReadableKey", got.ReadableKey, want.ReadableKey)

	if hasOutcome(want.State) && !bytes.Equal(got.Outcome, want.Outcome) {
		d.field("Outcome", brief(got.Outcome), brief(want.Outcome))
	}

	return d.String()
}

// everything compares all fields that the state gives a meaning, times included.
func everything(got, want *store.Record) string {
	if got.State == store.Absent && want.State == store.Absent {
		return ""
	}

	var d difference

	if want.State == store.Running {
		d.time("LeaseUntil", got.LeaseUntil, want.LeaseUntil)
	} else {
		d.time("EndedAt", got.EndedAt, want.EndedAt)
	}

	if want.State != store.Completed {
		d.time("OwnerAliveUntil", got.OwnerAliveUntil, want.OwnerAliveUntil)
	}

	d.time("FirstStart", got.FirstStart, want.FirstStart)
	d.time("LastStart", got.LastStart, want.LastStart)

	if want.State == store.Released || want.State == store.Completed {
		d.time("ExpiresAt", got.ExpiresAt, want.ExpiresAt)
	}

	if (got.Retention - want.Retention).Abs() > rounding {
		d.field("Retention", got.Retention, want.Retention)
	}

	if m := meaning(got, want); m != "" {
		d = append(difference{m}, d...)
	}

	return d.String()
}

// hasOutcome reports whether a record in this state has an outcome.
func hasOutcome(s store.State) bool { return s != store.Absent }

type difference []string

func (d *difference) field(name string, got, want any) {
	if got != want {
		*d = append(*d, fmt.Sprintf("%s is %v, must be %v", name, got, want))
	}
}

func (d *difference) time(name string, got, want time.Time) {
	if !near(got, want) {
		*d = append(*d, fmt.Sprintf("%s is %v, must be %v", name, got, want))
	}
}

func (d *difference) String() string { return strings.Join(*d, "; ") }

// near compares two times of the store, which may have been rounded.
func near(a, b time.Time) bool {
	if a.IsZero() || b.IsZero() {
		return a.IsZero() == b.IsZero()
	}

	return a.Sub(b).Abs() <= rounding
}

func brief(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%q... (%d bytes)", b[:40], len(b))
	}

	return fmt.Sprintf("%q", b)
}

// want is the expected result of an operation.
type want struct {
	applied bool
	state   store.State
	token   store.Token
	fence   uint64
	// outcome is compared if the state has one.
	outcome string
}

// expect compares a result. What describes the operation. It returns true if the result is as wanted.
func (x *env) expect(r rule, what string, got store.Result, w want) bool {
	x.Helper()

	var d difference

	d.field("Applied", got.Applied, w.applied)
	d.field("State", got.Record.State, w.state)

	if w.state != store.Absent {
		d.field("Token", got.Record.Token, w.token)
		d.field("Fence", got.Record.Fence, w.fence)
	}

	if hasOutcome(w.state) {
		d.field("Outcome", brief(got.Record.Outcome), brief([]byte(w.outcome)))
	}

	if len(d) > 0 {
		x.brokenf(r, "%s: %v", what, &d)
	}

	return len(d) == 0
}
