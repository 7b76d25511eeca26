package oncehttp_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// slowClient is the writer of a client that reads nothing: a write waits until the handler sets a deadline.
type slowClient struct {
	http.ResponseWriter

	waits, ended chan struct{}
	once         sync.Once
}

func (w *slowClient) Write([]byte) (int, error) {
	w.once.Do(func() { close(w.waits) })
	<-w.ended

	return 0, io.ErrClosedPipe
}

func (w *slowClient) SetWriteDeadline(time.Time) error {
	close(w.ended)

	return nil
}

// Only a deadline ends a write to a client that does not read.
func TestDeadlineEndsAWriteThatWaitsForTheClient(t *testing.T) {
	client := &slowClient{waits: make(chan struct{}), ended: make(chan struct{})}
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
