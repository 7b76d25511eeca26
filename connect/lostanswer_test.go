package onceconnect_test

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
)

// The handler has succeeded, and its response is recorded. The error that the caller gets is one of connect-go.
func TestF05AResponseThatTheServerCannotSendIsNoFailedCall(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{options: []connect.HandlerOption{connect.WithSendMaxBytes(500)}}) // the metadata of an error fits
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				receipt := strings.Repeat(rand.Text(), 20)

				return connect.NewResponse(&shopv1.PayResponse{Receipt: receipt}), nil
			}
			opts = append(slices.Clip(opts), connect.WithAcceptCompression("gzip", nil, nil)) // which would make it fit
			c := dialOnce(t, w.url, opts, soon())

			for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
				got := c.payKeyed(t.Context(), "key").must(t, want)
				if onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown || connect.CodeOf(got.err) != connect.CodeResourceExhausted {
					t.Errorf("%v, verdict %v, want RESOURCE_EXHAUSTED and unknown", got.err, onlyonce.VerdictOf(got.err))
				}
			}

			if w.runs.Load() != 1 {
				t.Errorf("%d runs, want 1", w.runs.Load())
			}
		})
	}
}
