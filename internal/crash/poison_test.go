//go:build unix

package crash

import (
	"fmt"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF55ARequestThatKillsItsProcessRunsMaxAttemptsTimes(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			const attempts = 3

			policy := mortal(onlyonce.AtLeastOnce)
			policy.MaxAttempts = attempts

			w := newWorld(t, on)

			for n := range attempts {
				p := w.start(t, serverConfig{Name: fmt.Sprintf("life %d", n+1), Policy: policy})
				p.endExpected.Store(true)
				p.dial(t).call(t.Context(), theKey, poison()).mustBreak(t)
				p.waitKilled(t)
			}

			survivor := w.start(t, serverConfig{Name: "survivor", Policy: policy}).dial(t)

			for range 3 {
				survivor.call(t.Context(), theKey, poison()).mustReject(t, onlyonce.ReasonOutcomeUnknown)
			}

			rec := w.mustBe(t, theKey, store.Running)
			if !rec.Unknown || rec.Attempts != attempts {
				t.Errorf("the record counts %d attempts, unsettled: %t; want %d and true", rec.Attempts, rec.Unknown, attempts)
			}

			w.mustHave(t, theKey, attempts, 0)

			fence := uint64(0)

			for n, run := range w.seen(atHandler, theKey) {
				if run.Attempt != n+1 || run.Fence <= fence {
					t.Errorf("run %d is attempt %d with fence %d, want a fence above %d", n+1, run.Attempt, run.Fence, fence)
				}

				fence = run.Fence
			}

			survivor.run(t, "other").mustSay(t, onlyonce.StatusExecuted)
		})
	}
}
