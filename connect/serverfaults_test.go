package onceconnect_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF80AKeyedStreamIsRefused(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			c := dial(t, w.url, opts...)

			byHeader := connect.NewRequest(&shopv1.WatchRequest{})
			byHeader.Header().Set(interceptor.KeyHeader, "key")

			for name, req := range map[string]*connect.Request[shopv1.WatchRequest]{
				"metadata": byHeader, "field": connect.NewRequest(&shopv1.WatchRequest{RequestId: "key"}),
			} {
				stream := must(c.watch.CallServerStream(t.Context(), req))(t)
				if stream.Receive() {
					t.Errorf("%s: a message came", name)
				}

				answer{trailer: metaOf(stream.Err()), err: stream.Err()}.mustReject(t, onlyonce.ReasonNotSupported)

				_ = stream.Close()
			}

			gather := c.gather.CallClientStream(t.Context())
			gather.RequestHeader().Set(interceptor.KeyHeader, "key")

			_ = gather.Send(&shopv1.CollectRequest{})

			_, err := gather.CloseAndReceive()
			answer{trailer: metaOf(err), err: err}.mustReject(t, onlyonce.ReasonNotSupported)

			if w.runs.Load() != 0 {
				t.Errorf("%d runs", w.runs.Load())
			}
		})
	}
}

func TestF80AStreamOfAMethodThatRequiresAKeyIsRefused(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{server: []interceptor.ServerOption{interceptor.WithPolicy(interceptor.Policy{Key: interceptor.KeyRequired})}})

			stream := must(dial(t, w.url, opts...).watch.CallServerStream(t.Context(), connect.NewRequest(&shopv1.WatchRequest{})))(t)
			stream.Receive()
			answer{trailer: metaOf(stream.Err()), err: stream.Err()}.mustReject(t, onlyonce.ReasonNotSupported)

			_ = stream.Close()

			if w.runs.Load() != 0 {
				t.Errorf("%d runs", w.runs.Load())
			}
		})
	}
}

func TestStreamsWithoutAKeyPass(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			c := dial(t, w.url, opts...)

			stream := must(c.watch.CallServerStream(t.Context(), connect.NewRequest(&shopv1.WatchRequest{})))(t)
			if !stream.Receive() || stream.Msg().GetOrder() != "1" || stream.Receive() || stream.Err() != nil {
				t.Errorf("the stream ended with %v", stream.Err())
			}

			_ = stream.Close()

			gather := c.gather.CallClientStream(t.Context())
			_ = gather.Send(&shopv1.CollectRequest{})

			if resp, err := gather.CloseAndReceive(); err != nil || resp.Msg.GetCount() != 1 {
				t.Errorf("got %v, %v", resp, err)
			}
		})
	}
}

func TestF24TheSameKeyWithAnotherRequestIsRejected(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			c := dial(t, w.url, opts...)
			other := &shopv1.PayRequest{Order: "2"}
			running, end := make(chan struct{}), make(chan struct{})

			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				close(running)
				<-end

				return connect.NewResponse(&shopv1.PayResponse{Receipt: "r"}), nil
			}

			first := make(chan answer, 1)

			go func() { first <- c.payKeyed(t.Context(), "key") }()

			<-running
			c.payFor(t.Context(), "key", other).mustReject(t, onlyonce.ReasonKeyReused)
			close(end)
			(<-first).must(t, onlyonce.StatusExecuted)
			c.payFor(t.Context(), "key", other).mustReject(t, onlyonce.ReasonKeyReused)
			c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusReplayed)

			if w.runs.Load() != 1 {
				t.Errorf("%d runs", w.runs.Load())
			}
		})
	}
}

func TestF25TheSameKeyOfAnotherMethodIsAnotherCall(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			c := dial(t, w.url, opts...)
			c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)

			req := connect.NewRequest(&shopv1.RefundRequest{Order: "1", RequestId: "key"})

			resp := must(c.refund.CallUnary(t.Context(), req))(t)
			if resp.Msg.GetReceipt() != "run 2" || resp.Trailer().Get(interceptor.StatusTrailer) != "executed" {
				t.Errorf("got %v, %v", resp.Msg, resp.Trailer())
			}
		})
	}
}

func TestF33APanicIsRecordedAndRaisedAgain(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{options: []connect.HandlerOption{
				connect.WithRecover(func(context.Context, connect.Spec, http.Header, any) error {
					return connect.NewError(connect.CodeInternal, errors.New("recovered"))
				}),
			}})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) { panic("boom") }

			c := dial(t, w.url, opts...)
			if got := c.payKeyed(t.Context(), "key"); connect.CodeOf(got.err) != connect.CodeInternal ||
				!strings.Contains(got.err.Error(), "recovered") {
				t.Errorf("got %+v", got)
			}

			c.payKeyed(t.Context(), "key").mustReject(t, onlyonce.ReasonOutcomeUnknown)

			if w.runs.Load() != 1 {
				t.Errorf("%d runs", w.runs.Load())
			}
		})
	}
}

// closedStore fails the test if it is called.
type closedStore struct {
	store.Store

	t *testing.T
}

func (s closedStore) Claim(context.Context, store.Claim) (store.Result, error) {
	s.t.Error("the store was called")

	return store.Result{}, errors.New("closed")
}

func TestF35BadKeysAreRejectedBeforeTheStore(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{store: closedStore{memstore.New(), t}})
			c := dial(t, w.url, opts...)

			for _, keys := range [][]string{{""}, {strings.Repeat("k", 256)}, {"two words"}, {"ümlaut"}, {"one", "two"}} {
				req := connect.NewRequest(&shopv1.PayRequest{})
				req.Header()["Idempotency-Key"] = keys

				_, err := c.pay.CallUnary(t.Context(), req)
				answer{trailer: metaOf(err), err: err}.mustReject(t, onlyonce.ReasonKeyInvalid)
			}

			if w.runs.Load() != 0 {
				t.Errorf("%d runs", w.runs.Load())
			}
		})
	}
}

func TestF51AnEmptyAnswerIsReplayed(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				return connect.NewResponse(&shopv1.PayResponse{}), nil
			}

			c := dial(t, w.url, opts...)
			for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
				if got := c.payKeyed(t.Context(), "key").must(t, want); got.err != nil || got.receipt != "" {
					t.Errorf("got %+v", got)
				}
			}

			if w.runs.Load() != 1 {
				t.Errorf("%d runs", w.runs.Load())
			}
		})
	}
}

func TestF20ARunGoesOnWhenItsCallerHasGone(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			running, end := make(chan struct{}), make(chan struct{})
			w.pay = func(ctx context.Context, _ *payRequest) (*payResponse, error) {
				info, _ := connect.CallInfoForHandlerContext(ctx)

				close(running)
				<-end

				if ctx.Err() != nil {
					t.Errorf("the run has ended: %v", context.Cause(ctx))
				}

				resp := connect.NewResponse(&shopv1.PayResponse{Receipt: "r"})
				resp.Trailer().Set("X-Trailer", "t")
				info.ResponseHeader().Set("X-Header", "h")

				return resp, nil
			}

			c := dial(t, w.url, opts...)
			ctx, cancel := context.WithCancel(t.Context())
			first := make(chan answer, 1)

			go func() { first <- c.payKeyed(ctx, "key") }()

			<-running
			cancel()

			if got := <-first; connect.CodeOf(got.err) != connect.CodeCanceled {
				t.Errorf("got %+v", got)
			}

			again := make(chan answer, 1)

			go func() { again <- c.payKeyed(t.Context(), "key") }()

			close(end)

			got := (<-again).must(t, onlyonce.StatusReplayed)
			if got.receipt != "r" || got.header.Get("X-Header") != "h" || got.trailer.Get("X-Trailer") != "t" || w.runs.Load() != 1 {
				t.Errorf("got %+v in %d runs", got, w.runs.Load())
			}
		})
	}
}

func TestAHandlerWhoseKeyIsIgnoredCannotSetTheStatus(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			ignored := interceptor.WithPolicy(interceptor.Policy{Key: interceptor.KeyIgnored})
			say := func(header http.Header) { header.Set(interceptor.StatusTrailer, "released") }

			w := newWorld(t, setup{server: []interceptor.ServerOption{ignored}, behind: []connect.Interceptor{talkative{say}}})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				resp := connect.NewResponse(&shopv1.PayResponse{Receipt: "r"})
				say(resp.Header())
				say(resp.Trailer())

				return resp, nil
			}

			c := dial(t, w.url, opts...)
			if got := c.payKeyed(t.Context(), "key").must(t, ""); got.receipt != "r" || got.header.Get(interceptor.StatusTrailer) != "" {
				t.Errorf("got %+v", got)
			}

			req := connect.NewRequest(&shopv1.WatchRequest{})
			req.Header().Set(interceptor.KeyHeader, "key")

			stream := must(c.watch.CallServerStream(t.Context(), req))(t)
			if !stream.Receive() || stream.Receive() || stream.Err() != nil || stream.ResponseHeader().Get(interceptor.StatusTrailer) != "" ||
				stream.ResponseTrailer().Get(interceptor.StatusTrailer) != "" {
				t.Errorf("%v, header %v, trailer %v", stream.Err(), stream.ResponseHeader(), stream.ResponseTrailer())
			}

			_ = stream.Close()
		})
	}
}

// talkative sets metadata on streams.
type talkative struct{ set func(http.Header) }

func (talkative) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }

func (talkative) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (i talkative) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		i.set(conn.ResponseHeader())
		i.set(conn.ResponseTrailer())

		return next(ctx, conn)
	}
}
