package onceconnect_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

type (
	payRequest  = connect.Request[shopv1.PayRequest]
	payResponse = connect.Response[shopv1.PayResponse]
)

// detailed is an error with a detail and metadata.
func detailed(t *testing.T) *connect.Error {
	t.Helper()

	err := connect.NewError(connect.CodeFailedPrecondition, errors.New("the card is declined: 50% übrig"))
	err.AddDetail(must(connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: "DECLINED", Domain: "bank"}))(t))
	err.Meta().Set("X-Decline", "7")

	return err
}

func TestADuplicateGetsTheReplayWithItsMetadata(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				resp := connect.NewResponse(&shopv1.PayResponse{Receipt: "r"})
				resp.Header().Set("X-Header", "h")
				resp.Header().Add("X-Raw-Bin", connect.EncodeBinaryHeader([]byte{0, 255}))
				resp.Trailer().Set("X-Trailer", "t")
				resp.Header().Set("Set-Cookie", "c")

				return resp, nil
			}

			c := dial(t, w.url, opts...)
			first := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)
			again := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusReplayed)

			for _, got := range []answer{first, again} {
				if got.err != nil || got.receipt != "r" || got.header.Get("X-Header") != "h" || got.trailer.Get("X-Trailer") != "t" {
					t.Errorf("got %+v", got)
				}

				if raw := must(connect.DecodeBinaryHeader(got.header.Get("X-Raw-Bin")))(t); !bytes.Equal(raw, []byte{0, 255}) {
					t.Errorf("the binary header is %q", raw)
				}
			}

			if first.header.Get("Set-Cookie") == "" || again.header.Get("Set-Cookie") != "" {
				t.Error("a cookie belongs to the first answer alone")
			}

			if again.header.Get(interceptor.ReplayedHeader) != "true" || again.trailer.Get(interceptor.ReplayedHeader) != "true" ||
				again.trailer.Get(interceptor.ExecutedAtTrailer) == "" {
				t.Errorf("a replay says that it is one: %+v", again)
			}

			if w.runs.Load() != 1 {
				t.Errorf("%d runs", w.runs.Load())
			}
		})
	}
}

func TestAnErrorIsReplayedWithDetailsAndMetadata(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				return nil, detailed(t)
			}

			c := dial(t, w.url, opts...)
			first := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)
			again := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusReplayed)

			for _, got := range []answer{first, again} {
				mustBeDeclined(t, got)
			}

			if w.runs.Load() != 1 {
				t.Errorf("%d runs", w.runs.Load())
			}
		})
	}
}

// mustBeDeclined checks an answer with the error of detailed.
func mustBeDeclined(t *testing.T, got answer) {
	t.Helper()

	failed, ok := errors.AsType[*connect.Error](got.err)
	if !ok || failed.Code() != connect.CodeFailedPrecondition || failed.Message() != "the card is declined: 50% übrig" ||
		len(failed.Details()) != 1 {
		t.Fatalf("got %v", got.err)
	}

	info, ok := must(failed.Details()[0].Value())(t).(*errdetails.ErrorInfo)
	if !ok || info.GetReason() != "DECLINED" {
		t.Errorf("the detail is %v", info)
	}

	if values := got.trailer.Values("X-Decline"); !slices.Equal(values, []string{"7"}) {
		t.Errorf("the metadata of the error is %q", values)
	}
}

func TestMetadataOfTheCallInfoIsRecorded(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.refund = func(ctx context.Context, _ *shopv1.RefundRequest) (*shopv1.RefundResponse, error) {
				info, ok := connect.CallInfoForHandlerContext(ctx)
				if !ok || info.Spec().Procedure != refundMethod || info.RequestHeader().Get(interceptor.KeyHeader) != "key" {
					t.Errorf("the handler has the CallInfo %v", info)
				}

				info.ResponseHeader().Set("X-Header", "h")
				info.ResponseTrailer().Set("X-Trailer", "t")

				return &shopv1.RefundResponse{}, nil
			}

			c := dial(t, w.url, opts...)

			for _, want := range []string{"executed", "replayed"} {
				req := connect.NewRequest(&shopv1.RefundRequest{Order: "1"})
				req.Header().Set(interceptor.KeyHeader, "key")

				resp := must(c.refund.CallUnary(t.Context(), req))(t)
				if !slices.Equal(resp.Header().Values("X-Header"), []string{"h"}) || !slices.Equal(resp.Trailer().Values("X-Trailer"), []string{"t"}) ||
					resp.Trailer().Get(interceptor.StatusTrailer) != want || resp.Trailer().Get(interceptor.RetentionTrailer) != "172800" {
					t.Errorf("got header %v and trailer %v, want %s", resp.Header(), resp.Trailer(), want)
				}
			}
		})
	}
}

func TestACallWithoutAKeyPassesUntouched(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			var inside, outside error

			w := newWorld(t, setup{
				server: []interceptor.ServerOption{interceptor.WithMethodPolicy(payMethod, interceptor.Policy{Key: interceptor.KeyOptional})},
				before: []connect.Interceptor{connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
					return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
						resp, err := next(ctx, req)
						if _, same := resp.(*payResponse); err == nil && !same {
							t.Errorf("an interceptor in front gets a %T", resp)
						}

						outside = err

						return resp, err
					}
				})},
			})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				if inside == nil {
					resp := connect.NewResponse(&shopv1.PayResponse{Receipt: "r"})
					resp.Header().Set("X-Header", "h")

					return resp, nil
				}

				return nil, inside
			}

			c := dial(t, w.url, opts...)
			if got := c.payKeyed(t.Context(), ""); got.receipt != "r" || got.header.Get("X-Header") != "h" || got.status() != "" {
				t.Errorf("got %+v", got)
			}

			inside = detailed(t)
			mustBeDeclined(t, c.payKeyed(t.Context(), ""))

			if outside != inside { //nolint:errorlint // the very error
				t.Errorf("an interceptor in front gets %v", outside)
			}
		})
	}
}

func TestAConnectGetOfAMethodWithoutSideEffectsPasses(t *testing.T) {
	w := newWorld(t, setup{})
	c := dial(t, w.url, connect.WithHTTPGet())

	for run := range int64(2) {
		req := connect.NewRequest(&shopv1.FindRequest{Order: "1"})
		req.Header().Set(interceptor.KeyHeader, "key")

		resp := must(c.find.CallUnary(t.Context(), req))(t)
		if req.HTTPMethod() != http.MethodGet || resp.Msg.GetRun() != run+1 || resp.Trailer().Get(interceptor.StatusTrailer) != "" {
			t.Errorf("%s: run %d, trailer %v", req.HTTPMethod(), resp.Msg.GetRun(), resp.Trailer())
		}
	}
}

func TestOverConnectTheStatusIsAHeaderWithAPrefix(t *testing.T) {
	w := newWorld(t, setup{})
	by := httpClient(t, false)

	post := func(key, body string) (*http.Response, string) {
		req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+payMethod, strings.NewReader(body)))(t)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)

		resp := must(by.Do(req))(t)
		text := must(io.ReadAll(resp.Body))(t)
		_ = resp.Body.Close()

		return resp, string(text)
	}

	resp, text := post("key", `{"order":"1"}`) //nolint:bodyclose // post closes it
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Trailer-Idempotency-Status") != "executed" || text != `{"receipt":"run 1"}` {
		t.Errorf("got %s %v %s", resp.Status, resp.Header, text)
	}

	resp, text = post("key", `{"order":"2"}`) //nolint:bodyclose // post closes it
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Trailer-Idempotency-Status") != "rejected" ||
		!strings.Contains(text, "google.rpc.ErrorInfo") {
		t.Errorf("got %s %v %s", resp.Status, resp.Header, text)
	}
}

func TestNotExecutedAndFinalErrorsOfConnectAreWhatTheySay(t *testing.T) {
	w := newWorld(t, setup{})
	c := dial(t, w.url)

	w.pay = func(context.Context, *payRequest) (*payResponse, error) {
		return nil, onlyonce.NotExecuted(connect.NewError(connect.CodeUnavailable, errors.New("closed")))
	}

	for range 2 {
		if got := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusReleased); connect.CodeOf(got.err) != connect.CodeUnavailable {
			t.Errorf("got %v", got.err)
		}
	}

	w.pay = func(context.Context, *payRequest) (*payResponse, error) {
		return nil, onlyonce.Final(connect.NewError(connect.CodeAborted, errors.New("lost")))
	}

	for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		if got := c.payKeyed(t.Context(), "final").must(t, want); got.err.Error() != "aborted: lost" {
			t.Errorf("got %v", got.err)
		}
	}
}

func TestErrorsOfGRPCKeepTheirCode(t *testing.T) {
	w := newWorld(t, setup{server: []interceptor.ServerOption{
		interceptor.WithMethodPolicy(payMethod, interceptor.Policy{Key: interceptor.KeyOptional}),
	}})
	w.pay = func(context.Context, *payRequest) (*payResponse, error) {
		return nil, status.Error(codes.NotFound, "no order")
	}

	for _, key := range []string{"", "key", "key"} {
		if got := dial(t, w.url).payKeyed(t.Context(), key); got.err == nil || got.err.Error() != "not_found: no order" {
			t.Errorf("with key %q: %v", key, got.err)
		}
	}
}

func TestARejectionOfAnotherServerIsMarkedAsItsOwn(t *testing.T) {
	behind := newWorld(t, setup{})
	w := newWorld(t, setup{server: []interceptor.ServerOption{
		interceptor.WithMethodPolicy(payMethod, interceptor.Policy{Key: interceptor.KeyOptional}),
	}})
	w.pay = func(ctx context.Context, _ *payRequest) (*payResponse, error) {
		return nil, dial(t, behind.url).payKeyed(ctx, "").err // KEY_MISSING
	}

	for _, key := range []string{"", "key"} {
		got := dial(t, w.url).payKeyed(t.Context(), key)

		failed, ok := errors.AsType[*connect.Error](got.err)
		if !ok || len(failed.Details()) == 0 {
			t.Fatalf("got %v", got.err)
		}

		info, ok := must(failed.Details()[0].Value())(t).(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != interceptor.DownstreamDomain {
			t.Errorf("with key %q the detail is %v", key, info)
		}

		if key != "" {
			got.must(t, onlyonce.StatusUnknown)
		}
	}
}

func TestTheScopeFindsHeaders(t *testing.T) {
	w := newWorld(t, setup{scope: func() interceptor.Scope { return interceptor.ScopeFromMetadata("x-tenant") }})
	tenant := ""
	c := dial(t, w.url, connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if tenant != "" {
				req.Header().Set("X-Tenant", tenant)
			}

			return next(ctx, req)
		}
	})))

	c.payKeyed(t.Context(), "key").mustReject(t, onlyonce.ReasonScopeMissing)

	for i, name := range []string{"a", "b"} {
		tenant = name

		if got := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted); got.err != nil {
			t.Errorf("%d: %v", i, got.err)
		}
	}
}

func TestAReplayCheckMayAnswerWithErrorsOfConnect(t *testing.T) {
	w := newWorld(t, setup{server: []interceptor.ServerOption{
		interceptor.WithReplayCheck(func(ctx context.Context, req any) error {
			if _, ok := req.(*shopv1.PayRequest); !ok || metadata.ValueFromIncomingContext(ctx, "idempotency-key") == nil {
				t.Errorf("the check gets a %T", req)
			}

			return connect.NewError(connect.CodePermissionDenied, errors.New("not yours"))
		}),
	}})
	c := dial(t, w.url)
	c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)

	got := c.payKeyed(t.Context(), "key").must(t, onlyonce.StatusRejected)
	if got.err == nil || got.err.Error() != "permission_denied: not yours" {
		t.Errorf("got %v", got.err)
	}
}

func TestValidateReportsWhatCannotHold(t *testing.T) {
	w := newWorld(t, setup{})
	if err := w.server.Validate(shopService); err == nil || !strings.Contains(err.Error(), "/shop.v1.ShopService/Watch") {
		t.Errorf("a stream with a field that is marked as the key: %v", err)
	}

	ignored := interceptor.WithMethodPolicy(watchMethod, interceptor.Policy{Key: interceptor.KeyIgnored})

	w = newWorld(t, setup{server: []interceptor.ServerOption{ignored}})
	if err := w.server.Validate(shopService); err != nil {
		t.Error(err)
	}

	for _, names := range [][]string{{}, {shopService, "shop.v1.Nobody"}, {"shop.v1.PayRequest", shopService}} {
		if err := w.server.Validate(names...); err == nil || !strings.Contains(err.Error(), "onceconnect: ") {
			t.Errorf("%q: %v", names, err)
		}
	}
}

func TestARetryMaySwitchBetweenJSONAndBinary(t *testing.T) {
	w := newWorld(t, setup{})
	dial(t, w.url, connect.WithProtoJSON()).payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)
	dial(t, w.url, connect.WithGRPC()).payKeyed(t.Context(), "key").must(t, onlyonce.StatusReplayed)
}

// downStore cannot be reached.
type downStore struct{ store.Store }

func (downStore) Claim(context.Context, store.Claim) (store.Result, error) {
	return store.Result{}, errors.New("not reached")
}

func TestARejectionHasTheTimeOfTheRetry(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			limits := onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: time.Second})
			w := newWorld(t, setup{store: downStore{memstore.New()}, engine: []onlyonce.Option{limits}})

			got := dial(t, w.url, opts...).payKeyed(t.Context(), "key")
			got.mustReject(t, onlyonce.ReasonStoreUnavailable)

			if got.trailer.Get(interceptor.PushbackTrailer) == "" || len(got.header) > 0 || w.runs.Load() != 0 {
				t.Errorf("got %+v in %d runs", got, w.runs.Load())
			}
		})
	}
}

func TestTheMetadataOfAnErrorFromAnotherServerIsNotPassedOn(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				err := connect.NewWireError(connect.CodeNotFound, errors.New("no order"))
				err.Meta().Set("X-Secret", "s")

				return nil, err
			}

			c := dial(t, w.url, opts...)
			for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
				if got := c.payKeyed(t.Context(), "key").must(t, want); got.trailer.Get("X-Secret") != "" {
					t.Errorf("got %+v", got)
				}
			}
		})
	}
}

func TestMetadataThatAHandlerSetsAfterTheAnswerIsDropped(t *testing.T) {
	var (
		info   connect.CallInfo
		stream grpc.ServerTransportStream
	)

	w := newWorld(t, setup{
		server: []interceptor.ServerOption{interceptor.WithMethodPolicy(payMethod, interceptor.Policy{Key: interceptor.KeyIgnored})},
		before: []connect.Interceptor{connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
			return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
				resp, err := next(ctx, req)
				info, _ = connect.CallInfoForHandlerContext(ctx)
				_ = stream.SetTrailer(metadata.Pairs("x-late", "1"))

				return resp, err
			}
		})},
	})
	w.pay = func(ctx context.Context, _ *payRequest) (*payResponse, error) {
		stream = grpc.ServerTransportStreamFromContext(ctx)

		return connect.NewResponse(&shopv1.PayResponse{Receipt: "r"}), nil
	}

	for _, key := range []string{"", "key"} {
		got := dial(t, w.url).payKeyed(t.Context(), key)
		if got.receipt != "r" || got.trailer.Get("X-Late") != "" || info.ResponseTrailer().Get("X-Late") != "" {
			t.Errorf("with the key %q: got %+v", key, got)
		}
	}
}

func TestMetadataThatAHandlerSetsByGRPCIsSentWithAKeyAndWithout(t *testing.T) {
	w := newWorld(t, setup{
		server: []interceptor.ServerOption{interceptor.WithMethodPolicy(payMethod, interceptor.Policy{Key: interceptor.KeyOptional})},
	})
	w.pay = func(ctx context.Context, _ *payRequest) (*payResponse, error) {
		err := errors.Join(grpc.SetHeader(ctx, metadata.Pairs("x-raw-bin", "\x00\xff")), grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "t")))

		return connect.NewResponse(new(shopv1.PayResponse)), err
	}

	for _, key := range []string{"", "key", "key"} {
		got := dial(t, w.url).payKeyed(t.Context(), key)
		if got.err != nil || got.header.Get("X-Raw-Bin") != "AP8" || got.trailer.Get("X-Trailer") != "t" {
			t.Errorf("with the key %q: got %+v", key, got)
		}
	}
}
