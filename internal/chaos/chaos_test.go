package chaos_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// once makes one run and returns the violations.
func once(t *testing.T, seed uint64, newStore func() backend, how habits) (*history, []string) {
	t.Helper()

	var (
		h *history
		s = newScenario(seed)
	)

	synctest.Test(t, func(*testing.T) { h = s.live(newStore(), how) })

	return h, s.judge(h)
}

// TestRandomRuns is the proof of the engine; see the package.
func TestRandomRuns(t *testing.T) {
	var sum tally

	for seed := *firstSeed; seed < *firstSeed+uint64(*runs); seed++ {
		h, broken := once(t, seed, func() backend { return memstore.New() }, habits{})
		sum.add(h)

		if len(broken) > 0 {
			t.Errorf("seed %d: %d violations; again with: go test -race -run TestRandomRuns . -seed %d -runs 1\n%s",
				seed, len(broken), seed, report(h, broken))
		}
	}

	t.Log(&sum)
}

// report lists the violations, and the whole history of the keys concerned.
func report(h *history, broken []string) string {
	var text strings.Builder

	for _, b := range broken {
		fmt.Fprintln(&text, b)
	}

	for _, id := range h.identities() {
		if strings.Contains(text.String(), fmt.Sprintf("%v: ", id)) {
			fmt.Fprintf(&text, "\nthe story of %v:\n%s", id, h.story(id))
		}
	}

	return text.String()
}

// tally counts events, to show that the runs are not empty.
type tally struct {
	attempts, runs, effects, definite, notExecuted, unknown, settled int
}

func (c *tally) add(h *history) {
	for _, a := range h.attempts {
		c.attempts++

		switch {
		case a.ended == 0:
		case definite(a):
			c.definite++
		case a.result.Status == "released":
			c.notExecuted++
		default:
			c.unknown++
		}
	}

	for _, r := range h.runs {
		c.runs++
		c.effects += r.effects
	}

	for _, s := range h.settled {
		if s.sure {
			c.settled++
		}
	}
}

func (c *tally) String() string {
	return fmt.Sprintf("%d attempts, %d runs with %d effects; %d definite answers, %d that nothing happened, %d unknown; %d settled by people",
		c.attempts, c.runs, c.effects, c.definite, c.notExecuted, c.unknown, c.settled)
}
