package onceconnect_test

import (
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
)

func TestADuplicateGetsTheReplay(t *testing.T) {
	onEachProtocol(t, func(t *testing.T, opts ...connect.ClientOption) {
		w := newWorld(t, setup{})
		c := dial(t, w.url, opts...)

		first := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)
		again := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusReplayed)

		if first.err != nil || again.err != nil || first.receipt != again.receipt || w.runs.Load() != 1 {
			t.Errorf("got %+v and %+v in %d runs", first, again, w.runs.Load())
		}
	})
}

func TestARequiredKey(t *testing.T) {
	onEachProtocol(t, func(t *testing.T, opts ...connect.ClientOption) {
		w := newWorld(t, setup{})

		dial(t, w.url, opts...).payKeyed(t.Context(), "").mustReject(t, onlyonce.ReasonKeyMissing)
	})
}
