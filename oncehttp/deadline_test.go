package oncehttp_test

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// slowClient is the writer of a client that reads nothing: a write waits until the handler sets a deadline.
type slowClient struct {
	http.ResponseWriter

	t            *testing.T
	waits, ended chan struct{}
	once         sync.Once
}

func (w *slowClient) Write([]byte) (int, error) {
	w.once.Do(func() { close(w.waits) })

	look := time.NewTicker(time.Millisecond)
	defer look.Stop()

	for {
		select {
		case <-w.ended:
			return 0, io.ErrClosedPipe
		case <-look.C:
			if deadlineWaits() {
				w.t.Error("the deadline waits for a lock, and this write has all locks")

				return 0, io.ErrClosedPipe
			}
		}
	}
}

// deadlineWaits reports whether a goroutine that sets a deadline waits for a lock.
func deadlineWaits() bool {
	stacks := make([]byte, 1<<20)

	for stack := range bytes.SplitSeq(stacks[:runtime.Stack(stacks, true)], []byte("\n\n")) {
		if bytes.Contains(stack, []byte("[sync.Mutex.Lock")) && bytes.Contains(stack, []byte(".SetWriteDeadline(")) {
			return true
		}
	}

	return false
}

func (w *slowClient) SetWriteDeadline(time.Time) error {
	close(w.ended)

	return nil
}

// Only a deadline ends a write to a client that does not read.
func TestDeadlineEndsAWriteThatWaitsForTheClient(t *testing.T) {
	client := &slowClient{t: t, waits: make(chan struct{}), ended: make(chan struct{})}
	w := start(t, setup{
		engine:  []onlyonce.Option{patient()},
		options: policy(oncehttp.Policy{Policy: onlyonce.Policy{MaxOutcome: 1}}),
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				client.ResponseWriter = rw
				next.ServeHTTP(client, r)
			})
		},
	}, func(rw http.ResponseWriter, _ *http.Request) {
		set := make(chan error)

		go func() {
			<-client.waits

			set <- http.NewResponseController(rw).SetWriteDeadline(r2020)
		}()

		if _, err := io.WriteString(rw, "longer than the outcome"); err != nil {
			t.Errorf("the handler saw %v", err)
		}

		if err := <-set; err != nil {
			t.Error(err)
		}
	})

	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusOK)
}
