//go:build unix

package crash

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF48GracefulStopDuringARun(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, on)
			p := w.start(t, serverConfig{Name: "server", Policy: sound(onlyonce.AtMostOnce), GracefulStopFirst: true})
			client := p.dial(t)

			caller := w.parkAt(t, "server", client, atHandler, theKey)

			p.endExpected.Store(true)
			p.signal(t, syscall.SIGTERM)
			eventually(t, "the server listens no more", func() bool {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr)
				if err != nil {
					return true
				}

				conn.Close()

				return false
			})

			w.mustBe(t, theKey, store.Running)
			caller.release()

			caller.finish(t).mustSay(t, onlyonce.StatusExecuted)
			p.waitExit(t) // fails if anything has leaked
			w.mustBe(t, theKey, store.Completed)

			next := w.start(t, serverConfig{Name: "next", Policy: sound(onlyonce.AtMostOnce)}).dial(t)
			next.pay(t, theKey).mustSay(t, onlyonce.StatusReplayed)
			w.mustHave(t, theKey, 1, 1)
		})
	}
}

// asked collects the answers to calls with different keys.
type asked struct {
	mu      sync.Mutex
	answers map[string]answer
}

func (a *asked) note(key string, got answer) {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.answers[key] = got
}

func TestF56DrainUnderLoad(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			const parkedRuns, workers, enough = 3, 6, 60

			w := newWorld(t, on)
			p := w.start(t, serverConfig{Name: "server", Policy: sound(onlyonce.AtMostOnce)})
			client := p.dial(t)
			all := asked{answers: make(map[string]answer)}

			parked := make([]*parkedCall, parkedRuns)
			for n := range parked {
				parked[n] = w.beginAt(t, "server", client, atHandler, fmt.Sprintf("parked-%d", n))
			}

			for _, call := range parked {
				call.wait(t)
			}

			var load sync.WaitGroup

			for worker := range workers {
				load.Go(func() {
					for n, begin := 0, time.Now(); time.Since(begin) < patience; n++ {
						key := fmt.Sprintf("load-%d-%d", worker, n)
						got := client.call(t.Context(), key, payment())
						all.note(key, got)

						if got.err != nil {
							return
						}
					}
				})
			}

			eventually(t, "the server is under load", func() bool { return len(w.seen(atReturned, "")) >= enough })
			p.endExpected.Store(true)
			p.signal(t, syscall.SIGTERM)
			load.Wait() // every worker has been refused

			// The runs that are parked hold up the drain, so the server still answers.
			for n := range 2 * workers {
				key := fmt.Sprintf("late-%d", n)
				got := client.pay(t, key)
				got.mustReject(t, onlyonce.ReasonStoreUnavailable)
				all.note(key, got)
			}

			for _, call := range parked {
				call.release()

				got := call.finish(t)
				got.mustSay(t, onlyonce.StatusExecuted)
				all.note(call.key, got)
			}

			p.waitExit(t)

			for key, got := range all.answers {
				if got.err == nil {
					w.mustBe(t, key, store.Completed)
					w.mustHave(t, key, 1, 1)

					continue
				}

				got.mustReject(t, onlyonce.ReasonStoreUnavailable)
				w.mustBe(t, key, store.Absent)
				w.mustHave(t, key, 0, 0)
			}
		})
	}
}
