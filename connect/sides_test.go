package onceconnect_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/peer"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
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

// A middleware that knows the caller better than connect-go does may set the peer.
func TestThePeerOfAMiddlewareIsKept(t *testing.T) {
	front := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 443}

	var seen string

	w := newWorld(t, setup{
		scope: func() interceptor.Scope {
			return interceptor.ScopeFunc(func(ctx context.Context) (string, error) {
				from, _ := peer.FromContext(ctx)
				seen = from.Addr.String()

				return "shared", nil
			})
		},
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(rw, r.WithContext(peer.NewContext(r.Context(), &peer.Peer{Addr: front})))
			})
		},
	})

	dial(t, w.url).payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)

	if seen != front.String() {
		t.Errorf("the scope got the peer %s, want %s", seen, front)
	}
}

// An interceptor in front may look at the type of an error.
func TestAnInterceptorInFrontGetsTheErrorOfAHandlerWithoutItsMark(t *testing.T) {
	var got error

	watch := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			resp, err := next(ctx, req)
			got = err

			return resp, err
		}
	})

	closed := connect.NewError(connect.CodeUnavailable, errors.New("closed"))
	w := newWorld(t, setup{before: []connect.Interceptor{watch}})
	w.refund = func(context.Context, *shopv1.RefundRequest) (*shopv1.RefundResponse, error) {
		return nil, onlyonce.NotExecuted(closed)
	}

	if _, err := dial(t, w.url).refund.CallUnary(t.Context(), connect.NewRequest(&shopv1.RefundRequest{Order: "1"})); err == nil {
		t.Error("the handler has failed, and the call has not")
	}

	if got != closed { //nolint:errorlint // the very error
		t.Errorf("the interceptor in front got a %T, want the handler's own error", got)
	}
}
