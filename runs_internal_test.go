package onlyonce

import (
	"math/rand/v2"
	"testing"
)

// A run that stays in a list after its end is kept for ever, and counted by a drain.
func TestRunsAreKnownFromTheirStartToTheirEnd(t *testing.T) {
	t.Parallel()

	var (
		rs    runs
		known []*run
	)

	check := func() {
		seen := make(map[*run]bool)

		for r := range rs.all() {
			if seen[r] {
				t.Fatal("a run is in a list twice")
			}

			seen[r] = true
		}

		for _, r := range known {
			if !seen[r] {
				t.Fatal("a run that is under way is in no list")
			}
		}

		if len(seen) != len(known) {
			t.Fatalf("%d runs are in the lists, want %d", len(seen), len(known))
		}
	}

	for n := range 2_000 {
		if last := len(known) - 1; last < 0 || rand.IntN(9) > last/4 {
			r := &run{attempt: new(attempt)}
			r.claim.Key[2] = byte(n % 3) // few lists, so that they are long

			rs.add(r)

			known = append(known, r)
		} else {
			i := rand.IntN(len(known))
			rs.remove(known[i])

			if known[i].siblings != (siblings{}) {
				t.Fatal("a run that has ended keeps others")
			}

			known[i] = known[last]
			known = known[:last]
		}

		check()
	}

	for _, r := range known {
		rs.remove(r)
	}

	known = nil

	check()
}
