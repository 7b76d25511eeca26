package onceconnect_test

import (
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
)

// connect-go has one type of interceptor for clients and handlers, so an option may reach the other side.
func TestAnInterceptorOnTheOtherSideChangesNothing(t *testing.T) {
	w := newWorld(t, setup{before: []connect.Interceptor{must(onceconnect.NewClient(soon()))(t)}})
	other := newWorld(t, setup{})
	c := dial(t, w.url, connect.WithInterceptors(other.server))

	for run, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		got := c.payKeyed(t.Context(), "key").must(t, want)
		if got.receipt != "run 1" || got.err != nil || w.runs.Load() != 1 {
			t.Errorf("call %d: %+v", run+1, got)
		}
	}
}
