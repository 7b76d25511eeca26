//go:build unix

package oncehttp_test

import (
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// parkOne starts a server with a lease, sends it a payment and returns when the payment has been charged. The channel is closed when the
// payment has an answer.
func (w *town) parkOne(lease time.Duration) (first *process, ended <-chan struct{}, answered func() (*answer, error)) {
	w.t.Helper()

	for ; ; lease *= 2 {
		first := w.serve(childConfig{Name: "first", Policy: settled(onlyonce.AtLeastOnce, lease)})
		over := make(chan struct{})

		var (
			a   *answer
			err error
		)

		go func() {
			defer close(over)

			a, err = first.post()
		}()

		select {
		case <-w.parked:
			return first, over, func() (*answer, error) { return a, err }
		case <-over:
		}

		// On a slow machine, a lease can end before the run begins. Then nothing runs, and the next server has a longer lease.
		if lease > time.Minute {
			w.t.Fatalf("nothing ran with a lease of %v: %+v, %v", lease, a, err)
		}
	}
}

// A server is stopped after the effect. Its lease ends, and another server takes over.
func TestF16ServerStoppedPastItsLeaseAnswersWithTheWinnersAnswer(t *testing.T) {
	w := newTown(t)
	w.park()

	second := w.serve(childConfig{Name: "second", Policy: settled(onlyonce.AtLeastOnce, 0)})
	first, ended, answered := w.parkOne(time.Second)

	signal := func(sig syscall.Signal) {
		if err := first.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}

	signal(syscall.SIGSTOP)

	winner, failed := second.post() // it waits until the lease has ended
	if failed != nil {
		t.Fatal(failed)
	}

	winner.mustBe(onlyonce.StatusExecuted, http.StatusCreated)

	close(w.release)
	signal(syscall.SIGCONT)

	<-ended

	late, err := answered()
	if err != nil {
		t.Fatal(err)
	}

	late.mustBe(onlyonce.StatusReplayed, http.StatusCreated).equal(winner)

	if late.body != "charged by second" {
		t.Errorf("%q", late.body)
	}

	again, failed := first.post()
	if failed != nil {
		t.Fatal(failed)
	}

	again.mustBe(onlyonce.StatusReplayed, http.StatusCreated).equal(winner)

	if by := w.charged(); !slices.Equal(by, []string{"first", "second"}) {
		t.Errorf("charged by %v", by)
	}
}
