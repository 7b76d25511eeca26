package store_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	lease     = time.Minute
	maxRun    = 10 * time.Minute
	retention = time.Hour
	// oldRetention is the retention of the records before the operation.
	oldRetention = 3 * time.Hour
)

var (
	now       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	myToken   = store.Token{1}
	oldToken  = store.Token{2}
	theSum    = store.Fingerprint{Scheme: 1, Sum: [32]byte{1}}
	otherSum  = store.Fingerprint{Scheme: 1, Sum: [32]byte{2}}
	newScheme = store.Fingerprint{Scheme: 2, Sum: [32]byte{2}}
)

const theFence = 5

// parse reads a table into rows of columns, left of the arrow and right of it. A row ends with the columns on the right.
func parse(t *testing.T, table string, columns int) (rows [][2][]string) {
	t.Helper()

	left := []string(nil)

	for line := range strings.Lines(table) {
		if strings.TrimSpace(line) == "" {
			continue
		}

		l, r, ended := strings.Cut(line, "->")
		left = append(left, strings.Fields(l)...)

		if !ended {
			continue
		}

		if len(left) != columns {
			t.Fatalf("row %q has %d columns, not %d", line, len(left), columns)
		}

		rows = append(rows, [2][]string{left, strings.Fields(r)})
		left = nil
	}

	return rows
}

// find returns the right side of the only row that covers the values.
func find(t *testing.T, rows [][2][]string, values []string) []string {
	t.Helper()

	var found [][]string

	for _, row := range rows {
		covers := true
		for i, column := range row[0] {
			covers = covers && (column == "*" || slices.Contains(strings.Split(column, ","), values[i]))
		}

		if covers {
			found = append(found, row[1])
		}
	}

	if len(found) != 1 {
		t.Fatalf("%d rows cover %v", len(found), values)
	}

	return found[0]
}

// product calls run with every combination of values.
func product(dimensions [][]string, run func(values []string)) {
	if len(dimensions) == 0 {
		run(nil)

		return
	}

	product(dimensions[:len(dimensions)-1], func(values []string) {
		for _, v := range dimensions[len(dimensions)-1] {
			run(append(slices.Clone(values), v))
		}
	})
}

// found is a record in a state of the table, owned by the token.
func found(state string, token store.Token) store.Record {
	rec := store.Record{
		State: store.Running, Token: token, Fence: theFence, Guarantee: store.AtLeastOnce, Fingerprint: theSum,
		LeaseUntil: now.Add(-time.Second), OwnerAliveUntil: now, Attempts: 2,
		FirstStart: now.Add(-20 * time.Minute), LastStart: now.Add(-15 * time.Minute),
		Retention: oldRetention, Method: "/a.B/C", ReadableKey: "k",
	}
	settled := func(state store.State, outcome string) {
		rec.State, rec.Outcome = state, []byte(outcome)
		rec.EndedAt, rec.ExpiresAt = now.Add(-time.Minute), now.Add(time.Nanosecond)
	}

	switch state {
	case "absent":
		return store.Record{}
	case "gone":
		settled(store.Completed, "outcome")
		rec.ExpiresAt = now
	case "alive":
		rec.LeaseUntil = now.Add(time.Nanosecond)
	case "ended":
		rec.LeaseUntil = now
	case "unknown":
		settled(store.Unknown, "note")
		rec.ExpiresAt = time.Time{}
	case "released":
		settled(store.Released, "")
	case "completed":
		settled(store.Completed, "outcome")
	case "newer":
		rec.State = 9
	case "resolved-released":
		settled(store.Released, "")
		rec.Resolved = true
	case "resolved-completed":
		settled(store.Completed, "outcome")
		rec.Resolved = true
	default:
		panic(state)
	}

	return rec
}

func perform(op, fence, printed, detail string, g store.Guarantee, rec store.Record) store.Transition {
	claim := store.Claim{
		Token: myToken, Guarantee: g, Lease: lease, MaxRun: maxRun, Retention: retention, MaxAttempts: 3,
		Fingerprint: map[string]store.Fingerprint{"same": theSum, "other": otherSum, "scheme": newScheme}[printed],
		Fence:       map[string]uint64{"zero": 0, "equal": theFence, "unequal": theFence - 1}[fence],
		Method:      "/a.B/C", ReadableKey: "k",
	}
	outcome := []byte(map[string]string{"same": "outcome", "other": "another"}[detail])

	switch op {
	case "claim":
		return claim.Apply(rec, now)
	case "renew":
		return (&store.Renewal{Token: myToken, Lease: lease}).Apply(rec, now)
	case "complete":
		return (&store.Completion{Token: myToken, Outcome: outcome}).Apply(rec, now)
	case "release":
		return (&store.Release{Claim: claim}).Apply(rec, now)
	case "hold":
		return (&store.Hold{Token: myToken, Outcome: []byte("note")}).Apply(rec, now)
	default:
		panic(op)
	}
}

// diff calls cmp.Diff, which is slow, only for different records.
func diff(want, got store.Record) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}

	return cmp.Diff(want, got)
}

// outcomes maps the names in the tables to Applied and Changed.
var outcomes = map[string][2]bool{
	"applied": {true, true}, "unchanged": {true, false}, "raised": {false, true}, "-": {false, false},
}

// verdict compares a transition with the right side of a row.
func verdict(before store.Record, got store.Transition, right []string) string {
	flags := outcomes[right[0]]
	if got.Applied != flags[0] || got.Changed != flags[1] {
		return fmt.Sprintf("applied=%t changed=%t, must be %s", got.Applied, got.Changed, right[0])
	}

	if !flags[1] {
		if before.Expired(now) {
			before = store.Record{}
		}

		return diff(before, got.Record)
	}

	if got.Record.State.String() != right[1] {
		return fmt.Sprintf("the record is %v, must be %s", got.Record.State, right[1])
	}

	return ""
}

func TestEveryTransitionIsThatOfTheTable(t *testing.T) {
	t.Parallel()

	guarantees := map[string]store.Guarantee{
		"0": 0, "1": store.AtMostOnce, "2": store.AtLeastOnce, "3": store.ExactlyOnce,
	}
	strictness := map[string]string{
		"00": "strict", "01": "strict", "02": "strict", "03": "strict",
		"10": "strict", "11": "strict", "12": "strict", "13": "strict",
		"20": "strict", "21": "strict", "22": "lax", "23": "lax",
		"30": "strict", "31": "strict", "32": "lax", "33": "lax",
	}
	rows := parse(t, transitionTable, 7)
	count := 0

	product([][]string{
		{"claim", "renew", "complete", "release", "hold"},
		{"absent", "gone", "alive", "ended", "unknown", "released", "completed"},
		{"same", "other"}, {"zero", "equal", "unequal"}, {"same", "other", "scheme"},
		{"0", "1", "2", "3"}, {"0", "1", "2", "3"}, {"same", "other"},
	}, func(v []string) {
		op, state, token, fence, printed, of, by, detail := v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
		count++

		owner := map[string]store.Token{"same": myToken, "other": oldToken}[token]
		before := found(state, owner)

		if before.State != store.Absent {
			before.Guarantee = guarantees[of]
		}

		kept := before
		kept.Outcome = bytes.Clone(before.Outcome)

		got := perform(op, fence, printed, detail, guarantees[by], before)
		right := find(t, rows, []string{op, state, token, fence, printed, strictness[of+by], detail})

		if v := verdict(before, got, right); v != "" {
			t.Errorf("%v: %s", []string{op, state, token, fence, printed, of, by, detail}, v)

			return
		}

		if d := diff(kept, before); d != "" {
			t.Errorf("%v changed the record that it was given: %s", v, d)
		}

		if len(right) == 1 {
			return
		}

		start := before.Fence
		if state == "gone" {
			start = 0
		}

		wantToken := map[string]store.Token{"its": myToken, "kept": owner}[right[3]]
		if rise := fmt.Sprintf("+%d", got.Record.Fence-start); rise != right[2] || got.Record.Token != wantToken {
			t.Errorf("%v: fence %s and token %v, must be %s and %v", v, rise, got.Record.Token, right[2], wantToken)
		}
	})

	t.Logf("%d combinations", count)
}

func TestEveryResolutionIsThatOfTheTable(t *testing.T) {
	t.Parallel()

	rows := parse(t, resolutionTable, 4)
	states := map[string]store.State{
		"COMPLETED": store.Completed, "RELEASED": store.Released, "ABSENT": store.Absent, "RUNNING": store.Running,
		"UNKNOWN": store.Unknown, "OTHER": 77,
	}

	product([][]string{
		{
			"absent", "gone", "alive", "ended", "unknown", "released", "completed",
			"resolved-released", "resolved-completed",
		},
		{"zero", "equal", "unequal"},
		{"COMPLETED", "RELEASED", "ABSENT", "RUNNING", "UNKNOWN", "OTHER"},
		{"dead", "living"},
	}, func(v []string) {
		before := found(v[0], oldToken)
		if v[3] == "living" && before.State != store.Absent {
			before.OwnerAliveUntil = now.Add(time.Nanosecond)
		}

		op := store.Resolution{
			Fence: map[string]uint64{"zero": 0, "equal": theFence, "unequal": theFence + 1}[v[1]],
			State: states[v[2]], Outcome: []byte("outcome"), Token: before.Token,
		}
		other := op
		other.Token = store.Token{3}

		if got := other.Apply(before, now); got.Applied || got.Changed {
			t.Errorf("%v, of another owner: applied=%t changed=%t", v, got.Applied, got.Changed)
		}

		got := op.Apply(before, now)
		right := find(t, rows, v)

		if d := verdict(before, got, right); d != "" {
			t.Errorf("%v: %s", v, d)

			return
		}

		if right[0] != "applied" {
			return
		}

		want := before
		want.State, want.Resolved, want.Outcome = op.State, true, op.Outcome
		want.EndedAt, want.ExpiresAt = now, now.Add(oldRetention)

		if d := diff(want, got.Record); d != "" {
			t.Errorf("%v: %s", v, d)
		}
	})
}

func TestEveryForgettingIsThatOfTheTable(t *testing.T) {
	t.Parallel()

	rows := parse(t, forgettingTable, 5)

	product([][]string{
		{
			"absent", "gone", "alive", "ended", "unknown", "released", "completed",
			"resolved-released", "resolved-completed", "newer",
		},
		{"same", "other"}, {"zero", "equal", "unequal"}, {"dead", "living"}, {"yes", "no"},
	}, func(v []string) {
		before := found(v[0], oldToken)
		if v[3] == "living" && before.State != store.Absent {
			before.OwnerAliveUntil = now.Add(time.Nanosecond)
		}

		op := store.Forgetting{
			Token: map[string]store.Token{"same": oldToken, "other": myToken}[v[1]],
			Fence: map[string]uint64{"zero": 0, "equal": theFence, "unequal": theFence + 1}[v[2]],
			Force: v[4] == "yes",
		}
		got := op.Apply(before, now)
		right := find(t, rows, v)

		if d := verdict(before, got, right); d != "" {
			t.Errorf("%v: %s", v, d)
		}

		if d := diff(store.Record{}, got.Record); right[0] == "applied" && d != "" {
			t.Errorf("%v left something behind: %s", v, d)
		}
	})
}
