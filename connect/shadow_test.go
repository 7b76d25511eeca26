package onceconnect_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// answers gets what shadow mode has seen, which it says after the call.
type answers chan string

// Observe implements onlyonce.Observer.
func (a answers) Observe(_ context.Context, e onlyonce.Event) {
	if e.Kind != onlyonce.EventShadow {
		return
	}

	about := e.Shadow.Code
	if e.Shadow.Compared {
		about += " compared"
	}

	if e.Shadow.Differs {
		about += " differs"
	}

	a <- about
}

func TestShadowModeComparesTheMessagesOfAnswers(t *testing.T) {
	seen, got := make(answers, 4), []string(nil)
	shadow := interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}}
	w := newWorld(t, setup{
		engine: []onlyonce.Option{onlyonce.WithObserver(seen)}, server: []interceptor.ServerOption{interceptor.WithPolicy(shadow)},
	})
	c := dial(t, w.url)

	for _, receipt := range []string{"run 1", "run 2"} { // each run has an answer of its own
		if got := c.payKeyed(t.Context(), "key"); got.receipt != receipt || got.status() != "" {
			t.Errorf("got %+v", got)
		}

		got = append(got, <-seen)
	}

	w.pay = func(context.Context, *payRequest) (*payResponse, error) {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no order"))
	}

	for range 2 {
		c.payKeyed(t.Context(), "other")

		got = append(got, <-seen)
	}

	if want := []string{"OK", "OK compared differs", "NOT_FOUND", "NOT_FOUND compared"}; !slices.Equal(got, want) {
		t.Errorf("shadow mode has seen %q, want %q", got, want)
	}
}
