package onceconnect_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
)

// behind returns options of a client with the Client and an interceptor behind it.
func behind(t *testing.T, inner func(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) (connect.AnyResponse, error),
) connect.ClientOption {
	t.Helper()

	once := must(onceconnect.NewClient(soon()))(t)

	return connect.WithInterceptors(once, connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			return inner(ctx, req, next)
		}
	}))
}

func TestAnInterceptorBehindMayMakeOtherCallsWithEmptyRequests(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			by := onceconnect.HTTPClient(&lossy{Client: httpClient(t, true)})
			other, mirror := dialBy(by, w.url, opts...), dialBy(by, serve(t, new(shop).routes(), nil), opts...)

			opts = append(opts, behind(t, func(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) (connect.AnyResponse, error) {
				if _, err := other.note.CallUnary(ctx, connect.NewRequest(new(shopv1.NoteRequest))); err != nil {
					t.Errorf("the other call: %v", err)
				}

				if _, err := mirror.pay.CallUnary(ctx, connect.NewRequest(new(shopv1.PayRequest))); err != nil {
					t.Errorf("the call to another host: %v", err)
				}

				return next(ctx, req)
			}))

			if got := dialBy(by, w.url, opts...).payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted); got.err != nil {
				t.Error(got.err)
			}
		})
	}
}

func TestAnInterceptorBehindDoesNotPassTheKeyOnToGRPC(t *testing.T) {
	w := newWorld(t, setup{})

	for name, outgoing := range map[string]metadata.MD{"no metadata": nil, "metadata of the caller": metadata.Pairs("x-trace", "8")} {
		ctx := t.Context()
		if outgoing != nil {
			ctx = metadata.NewOutgoingContext(ctx, outgoing)
		}

		see := behind(t, func(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) (connect.AnyResponse, error) {
			if got, _ := metadata.FromOutgoingContext(ctx); !maps.EqualFunc(got, outgoing, slices.Equal) {
				t.Errorf("%s: the outgoing metadata are %v, want %v", name, got, outgoing)
			}

			return next(ctx, req)
		})

		if got := dial(t, w.url, see).payKeyed(ctx, name[:2]).must(t, onlyonce.StatusExecuted); got.err != nil {
			t.Error(got.err)
		}
	}
}

// The first request of the attempt is kept back, and the second one is sent.
func TestAnAttemptThatIsSentAfterARefusalMayHaveRun(t *testing.T) {
	w := newWorld(t, setup{})
	by := &lossy{Client: httpClient(t, true)}
	by.lost.Store(10)

	shorter := func(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) (connect.AnyResponse, error) {
		if _, err := next(ctx, req); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("the long request: %v", err)
		}

		short := connect.NewRequest(&shopv1.PayRequest{Order: "1"})
		maps.Copy(short.Header(), req.Header())

		return next(ctx, short)
	}

	c := dialBy(onceconnect.HTTPClient(by), w.url, connect.WithSendMaxBytes(20), behind(t, shorter))

	got := c.payFor(t.Context(), "key", &shopv1.PayRequest{Order: strings.Repeat("1", 50)})
	if got.err == nil || onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown || w.runs.Load() != 1 {
		t.Errorf("%v, verdict %v, %d runs", got.err, onlyonce.VerdictOf(got.err), w.runs.Load())
	}
}

func TestAnInterceptorBehindThatReturnsNothingFailsTheCall(t *testing.T) {
	w := newWorld(t, setup{})
	nothing := behind(t, func(context.Context, connect.AnyRequest, connect.UnaryFunc) (connect.AnyResponse, error) {
		return nil, nil //nolint:nilnil // the case
	})

	got := dial(t, w.url, nothing).payKeyed(t.Context(), "key")
	if connect.CodeOf(got.err) != connect.CodeInternal || onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown ||
		!strings.Contains(got.err.Error(), "behind the Client") {
		t.Errorf("%v, verdict %v", got.err, onlyonce.VerdictOf(got.err))
	}
}

func TestAnInterceptorBehindThatFailsIsNoAnswerOfTheServer(t *testing.T) {
	w := newWorld(t, setup{})
	failing := behind(t, func(context.Context, connect.AnyRequest, connect.UnaryFunc) (connect.AnyResponse, error) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("no token"))
	})

	got := dial(t, w.url, failing).payKeyed(t.Context(), "key")
	if connect.IsWireError(got.err) || connect.CodeOf(got.err) != connect.CodeFailedPrecondition ||
		onlyonce.VerdictOf(got.err) == onlyonce.VerdictFinal || w.runs.Load() != 0 {
		t.Errorf("%v, verdict %v", got.err, onlyonce.VerdictOf(got.err))
	}
}
