package store_test

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

// noted is a record as found, with an old note in its place.
func noted(state string) store.Record {
	rec := found(state, myToken)
	rec.Outcome = []byte("old")

	return rec
}

// Claims, completions, releases, holds and resolutions that change the record replace its note. Renewals and repeats keep it.
func TestEveryOperationKeepsOrReplacesTheNote(t *testing.T) {
	t.Parallel()

	first, later := aClaim(0), aClaim(theFence)
	first.Note, later.Note = []byte("mine"), []byte("mine")

	bare := aClaim(theFence)

	for _, tc := range []struct {
		name    string
		before  store.Record
		op      operation
		applied bool
		want    string
	}{
		{"a first claim leaves its note", store.Record{}, &first, true, "mine"},
		{"a first claim without a note leaves none", store.Record{}, new(aClaim(0)), true, ""},
		{"a claim after the retention replaces the outcome", noted("gone"), &first, true, "mine"},
		{"a claim of a released key replaces the note", with(noted("released"), ownedBy(oldToken)), &later, true, "mine"},
		{"a claim without a note removes that of the release", with(noted("released"), ownedBy(oldToken)), &bare, true, ""},
		{"a takeover replaces the note", with(noted("ended"), ownedBy(oldToken)), &later, true, "mine"},
		{"a takeover without a note removes it", with(noted("ended"), ownedBy(oldToken)), &bare, true, ""},
		{"a claim that loses keeps it", with(noted("alive"), ownedBy(oldToken)), &later, false, "old"},
		{"a copy of the claim keeps it", noted("alive"), &first, true, "old"},
		{"a copy of the claim after the end of the lease keeps it", noted("ended"), &first, true, "old"},
		{"a renewal keeps it", noted("alive"), &store.Renewal{Token: myToken, Lease: lease}, true, "old"},
		{"a late renewal keeps it", noted("ended"), &store.Renewal{Token: myToken, Lease: lease}, true, "old"},
		{"a completion replaces it", noted("alive"), &store.Completion{Token: myToken, Outcome: []byte("new")}, true, "new"},
		{"an empty completion removes it", noted("alive"), &store.Completion{Token: myToken}, true, ""},
		{"a release removes it", noted("alive"), &store.Release{Claim: later}, true, ""},
		{"a release of a claim that has not arrived leaves none", store.Record{}, &store.Release{Claim: first}, true, ""},
		{"a release of a claim that has lost keeps it", with(noted("alive"), ownedBy(oldToken)), &store.Release{Claim: later}, false, "old"},
		{"a hold replaces it", noted("alive"), &store.Hold{Token: myToken, Outcome: []byte("new")}, true, "new"},
		{"a hold without a note removes it", noted("alive"), &store.Hold{Token: myToken}, true, ""},
		{"a repeated hold keeps it", noted("unknown"), &store.Hold{Token: myToken, Outcome: []byte("new")}, true, "old"},
		{"a resolution as completed replaces it", noted("ended"), resolution(store.Completed, "new"), true, "new"},
		{"a resolution as released replaces it", noted("ended"), resolution(store.Released, "new"), true, "new"},
		{"a resolution as released without a note removes it", noted("unknown"), resolution(store.Released, ""), true, ""},
		{"a repeated resolution as released keeps it", noted("resolved-released"), resolution(store.Released, "new"), true, "old"},
		{"another resolution as completed keeps it", noted("resolved-completed"), resolution(store.Completed, "new"), false, "old"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			got := tc.op.Apply(tc.before, now)
			if got.Applied != tc.applied {
				t.Errorf("applied=%t, must be %t", got.Applied, tc.applied)
			}

			if string(got.Record.Outcome) != tc.want {
				t.Errorf("the outcome is %q, must be %q", got.Record.Outcome, tc.want)
			}
		})
	}
}

func ownedBy(token store.Token) func(r *store.Record) {
	return func(r *store.Record) { r.Token = token }
}

func resolution(state store.State, outcome string) *store.Resolution {
	op := &store.Resolution{Token: myToken, Fence: theFence, State: state}
	if outcome != "" {
		op.Outcome = []byte(outcome)
	}

	return op
}
