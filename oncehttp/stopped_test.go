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

// A server is stopped after the effect. Its lease ends, and another server takes over.
func TestF16ServerStoppedPastItsLeaseAnswersWithTheWinnersAnswer(t *testing.T) {
	w := newTown(t)
	w.park()

	first := w.serve(childConfig{Name: "first", Policy: settled(onlyonce.AtLeastOnce, time.Second)})
	second := w.serve(childConfig{Name: "second", Policy: settled(onlyonce.AtLeastOnce, 0)})

	var (
		late  *answer
		err   error
		ended = make(chan struct{})
	)

	go func() {
		defer close(ended)

		late, err = first.post()
	}()

	<-w.parked

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
