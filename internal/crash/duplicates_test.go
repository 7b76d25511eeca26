//go:build unix

package crash

import (
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF22DuplicatesOverTwoProcessesAtOnceRunOnce(t *testing.T) {
	t.Parallel()

	const callers = 100 // of each process

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, on)
			names := []string{"first", "second"}
			parked := make(map[string]*trap)

			answers := make([]<-chan answer, 0, callers*len(names))

			for _, name := range names {
				client := w.start(t, serverConfig{Name: name, Policy: sound(onlyonce.AtMostOnce)}).dial(t)
				parked[name] = w.park(name, atHandler, theKey)

				for range callers {
					answers = append(answers, client.begin(t, theKey))
				}
			}

			// One of them runs, and the other is refused.
			eventually(t, "one runs and the other waits", func() bool {
				return len(w.seen(atHandler, theKey)) > 0 && len(w.seen(atRefused, theKey)) > 0
			})

			for _, trap := range parked {
				trap.release()
			}

			var (
				first    *answer
				executed int
			)

			for _, done := range answers {
				got := finish(t, done)
				if got.status() == onlyonce.StatusExecuted {
					executed++
				} else {
					got.mustSay(t, onlyonce.StatusReplayed)
				}

				if first == nil {
					first = &got
				}

				got.mustEqual(t, *first)
			}

			if executed != 1 {
				t.Errorf("%d callers were told that their call ran, want one", executed)
			}

			w.mustBe(t, theKey, store.Completed)
			w.mustHave(t, theKey, 1, 1)
		})
	}
}
