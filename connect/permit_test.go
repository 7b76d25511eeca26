package onceconnect_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Between the decision to retry and the retry, another call finds that the host has a server without the kit.
func TestF75ARetryIsNotSentToAHostThatHasLostItsConfirmation(t *testing.T) {
	var without atomic.Bool

	bare := new(shop)
	w := newWorld(t, setup{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if without.Load() {
				bare.routes().ServeHTTP(w, r)
			} else {
				next.ServeHTTP(w, r)
			}
		})
	}})
	by := &lossy{Client: httpClient(t, true)}

	var (
		c       client
		replied atomic.Int64
	)

	note := func(ctx context.Context) error {
		_, err := c.note.CallUnary(ctx, connect.NewRequest(new(shopv1.NoteRequest)))

		return err
	}
	observe := func(ctx context.Context, _ interceptor.Attempt) {
		if replied.Add(1) == 2 { // of the call whose answer was lost
			without.Store(true)

			if err := note(onceconnect.ContextWithoutRetry(context.WithoutCancel(ctx))); err != nil {
				t.Error(err)
			}
		}
	}
	c = dialBy(by, w.url, connect.WithInterceptors(
		must(onceconnect.NewClient(soon(), interceptor.WithMethods(noteMethod), interceptor.WithAttemptObserver(observe)))(t)))

	if err := note(t.Context()); err != nil { // confirms
		t.Fatal(err)
	}

	by.lost.Store(1)

	err := note(t.Context())
	if onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown || bare.runs.Load() != 1 {
		t.Errorf("%v, verdict %v, %d runs on the server without the kit", err, onlyonce.VerdictOf(err), bare.runs.Load())
	}
}
