package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestARunWithANoteTakesNoMoreRoundTripsThanOneWithout(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)
	warm(t, s)

	for _, note := range []string{"", "a note", strings.Repeat("n", 100_000)} {
		claim := claimOn(newKey())
		claim.Note = []byte(note)

		var last store.Result

		for _, step := range []struct {
			name string
			run  func() (store.Result, error)
		}{
			{"the claim", func() (store.Result, error) { return s.Claim(t.Context(), claim) }},
			{"a renewal", func() (store.Result, error) { return s.Renew(t.Context(), renewal(claim)) }},
			{"the completion", func() (store.Result, error) {
				op := completion(claim, "paid")
				op.Receipt = last.Receipt

				return s.Complete(t.Context(), op)
			}},
		} {
			proxy.Reset()

			res, err := step.run()
			last = must(t, res, err)

			if n := proxy.RoundTrips(); n != 1 {
				t.Errorf("with a note of %d bytes, %s takes %d round trips: %v", len(note), step.name, n, names(proxy.Plan))
			}
		}

		if got := string(last.Record.Outcome); got != "paid" {
			t.Errorf("with a note of %d bytes the run is completed as %q", len(note), got)
		}
	}
}

func TestARunThatIsRenewedWhileItIsListedIsListedOnce(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL())
	claims := make(map[store.Key]store.Claim)

	// A set of the index has several pages.
	for range 2000 {
		claim := claimOn(newKey())
		start(t, s, claim)

		claims[claim.Key] = claim
	}

	seen := make(map[store.Key]int)

	for listed, err := range s.ListRunning(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}

		seen[listed.Key]++

		// The entry moves behind all others.
		renew := renewal(claims[listed.Key])
		renew.Lease = 2 * time.Hour

		if len(seen)%50 == 0 {
			res, err := s.Renew(t.Context(), renew)
			must(t, res, err)
			flush(t, s)
		}
	}

	for key := range claims {
		if seen[key] != 1 {
			t.Errorf("a run is listed %d times", seen[key])
		}
	}
}
