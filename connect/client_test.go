package onceconnect_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// soon retries at once, many times.
func soon() interceptor.ClientOption {
	return interceptor.WithRetry(retry.Policy{MaxAttempts: 5, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond})
}

// requests notes the headers of requests, as the server gets them.
type requests struct {
	mu   sync.Mutex
	seen []http.Header
}

func (r *requests) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, req.Header.Clone())
		r.mu.Unlock()

		next.ServeHTTP(w, req)
	})
}

// values returns the values of a header in all requests.
func (r *requests) values(name string) (values []string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, header := range r.seen {
		values = append(values, header.Get(name))
	}

	return values
}

func TestACallIsRetriedWithOneKey(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			seen := new(requests)
			w := newWorld(t, setup{wrap: seen.wrap})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				if w.runs.Load() < 3 {
					return nil, onlyonce.NotExecuted(connect.NewError(connect.CodeUnavailable, errors.New("closed")))
				}

				return connect.NewResponse(&shopv1.PayResponse{Receipt: "r"}), nil
			}

			got := dialOnce(t, w.url, opts, soon()).payKeyed(t.Context(), "").must(t, onlyonce.StatusExecuted)
			if got.err != nil || got.receipt != "r" {
				t.Errorf("got %+v", got)
			}

			keys := seen.values(interceptor.KeyHeader)
			if len(keys) != 3 || len(keys[0]) != 36 || len(slices.Compact(keys)) != 1 {
				t.Errorf("the keys are %q", keys)
			}

			if attempts := seen.values(interceptor.AttemptHeader); !slices.Equal(attempts, []string{"", "1", "2"}) {
				t.Errorf("the attempts are %q", attempts)
			}
		})
	}
}

func TestTheErrorOfACallHasTheVerdictOnItsKey(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				return nil, detailed(t)
			}

			c := dialOnce(t, w.url, opts, soon())

			for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
				got := c.payKeyed(t.Context(), "key").must(t, want)
				mustBeDeclined(t, got)

				if onlyonce.VerdictOf(got.err) != onlyonce.VerdictFinal || interceptor.KeyOf(got.err) != "key" || !connect.IsWireError(got.err) {
					t.Errorf("%s: the verdict is %v, the key %q", want, onlyonce.VerdictOf(got.err), interceptor.KeyOf(got.err))
				}
			}

			reused := c.payFor(t.Context(), "key", &shopv1.PayRequest{Order: "2"})
			if !errors.Is(reused.err, onlyonce.ReasonKeyReused) || onlyonce.VerdictOf(reused.err) != onlyonce.VerdictUnknown {
				t.Errorf("%v has the verdict %v", reused.err, onlyonce.VerdictOf(reused.err))
			}

			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				return nil, connect.NewError(connect.CodeInternal, errors.New("half done"))
			}

			if got := c.payKeyed(t.Context(), "open").must(t, onlyonce.StatusUnknown); onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown {
				t.Errorf("%v has the verdict %v", got.err, onlyonce.VerdictOf(got.err))
			}
		})
	}
}

func TestWhereTheKeyOfACallComesFrom(t *testing.T) {
	seen := new(requests)
	w := newWorld(t, setup{wrap: seen.wrap})
	c := dialOnce(t, w.url, nil, soon(), interceptor.WithKeyGenerator(func() string { return "fresh" }))

	c.payKeyed(onlyonce.ContextWithKey(t.Context(), "context"), "").must(t, onlyonce.StatusExecuted)
	c.payKeyed(t.Context(), "header").must(t, onlyonce.StatusExecuted)
	c.payKeyed(t.Context(), "").must(t, onlyonce.StatusExecuted)
	must(c.refund.CallUnary(t.Context(), connect.NewRequest(&shopv1.RefundRequest{RequestId: "field"})))(t)
	must(c.find.CallUnary(t.Context(), connect.NewRequest(&shopv1.FindRequest{})))(t)
	must(c.note.CallUnary(t.Context(), connect.NewRequest(&shopv1.NoteRequest{})))(t)

	want := []string{"context", "header", "fresh", "field", "", ""}
	if keys := seen.values(interceptor.KeyHeader); !slices.Equal(keys, want) {
		t.Errorf("the keys are %q, want %q", keys, want)
	}

	got := c.payKeyed(onlyonce.ContextWithKey(t.Context(), "context"), "header")
	if !errors.Is(got.err, onlyonce.ReasonKeyInvalid) || connect.CodeOf(got.err) != connect.CodeInvalidArgument || len(seen.values("x")) != 6 {
		t.Errorf("two keys: %v", got.err)
	}
}

func TestARequestCanBeUsedAgain(t *testing.T) {
	seen := new(requests)
	w := newWorld(t, setup{wrap: seen.wrap})
	c := dialOnce(t, w.url, nil)
	req := connect.NewRequest(&shopv1.PayRequest{Order: "1"})

	for range 2 {
		must(c.pay.CallUnary(t.Context(), req))(t)
	}

	if keys := seen.values(interceptor.KeyHeader); keys[0] == keys[1] {
		t.Errorf("two calls have the key %q", keys)
	}
}

// lossy loses the answers to some requests after the server has given them.
type lossy struct {
	*http.Client

	lost atomic.Int64 // how many are to be lost
}

func (l *lossy) Do(req *http.Request) (*http.Response, error) {
	resp, err := l.Client.Do(req)
	if err != nil || l.lost.Add(-1) < 0 {
		return resp, err
	}

	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()

	return nil, errors.New("connection reset by peer")
}

func TestACallOfAProtectedMethodWhoseAnswerIsLostIsRetried(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			by := &lossy{Client: httpClient(t, true)}
			by.lost.Store(2)

			c := dialBy(by, w.url, append(opts, connect.WithInterceptors(must(onceconnect.NewClient(soon()))(t)))...)

			got := c.payKeyed(t.Context(), "").must(t, onlyonce.StatusReplayed)
			if got.receipt != "run 1" || w.runs.Load() != 1 {
				t.Errorf("got %+v in %d runs", got, w.runs.Load())
			}
		})
	}
}

func TestF75AMethodThatOnlyAnOptionProtectsIsRetriedAfterItsConfirmation(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			by := &lossy{Client: httpClient(t, true)}

			once := must(onceconnect.NewClient(soon(), interceptor.WithMethods(noteMethod)))(t)
			c := dialBy(by, w.url, append(opts, connect.WithInterceptors(once))...)
			note := func() error {
				_, err := c.note.CallUnary(t.Context(), connect.NewRequest(&shopv1.NoteRequest{}))

				return err
			}

			by.lost.Store(1)

			err := note()
			if err == nil || !strings.Contains(err.Error(), "has not confirmed that it protects "+noteMethod) ||
				onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown || w.runs.Load() != 1 {
				t.Errorf("%v, verdict %v, %d runs", err, onlyonce.VerdictOf(err), w.runs.Load())
			}

			if err := note(); err != nil {
				t.Fatal(err)
			}

			by.lost.Store(2)

			if err := note(); err != nil || w.runs.Load() != 3 {
				t.Errorf("%v, %d runs", err, w.runs.Load())
			}
		})
	}
}

func TestF75AServerWithoutTheKitIsReportedAndGetsNoRetry(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			bare := new(shop)
			url := serve(t, bare.routes(), nil)

			var logged bytes.Buffer

			c := dialOnce(t, url, opts, soon(), interceptor.WithClientLogger(slog.New(slog.NewTextHandler(&logged, nil))))

			if got := c.payKeyed(t.Context(), ""); got.err != nil {
				t.Fatal(got.err)
			}

			bare.pay = func(context.Context, *payRequest) (*payResponse, error) {
				return nil, connect.NewError(connect.CodeUnavailable, errors.New("closed"))
			}

			if got := c.payKeyed(t.Context(), ""); got.err == nil || bare.runs.Load() != 2 {
				t.Errorf("%v after %d runs", got.err, bare.runs.Load())
			}

			if text := logged.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "method="+payMethod) ||
				!strings.Contains(text, "target="+strings.TrimPrefix(url, "http://")) {
				t.Errorf("logged %q", text)
			}
		})
	}
}

// net/http sends a request again by itself if it has the header Idempotency-Key and a connection breaks that was used before. Such an
// attempt may go to any server, and nobody has confirmed that the server protects the method.
func TestNetHTTPSendsNoKeyedRequestAgainByItself(t *testing.T) {
	var calls atomic.Int64

	bare := new(shop)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			bare.routes().ServeHTTP(w, r)

			return
		}

		_, _ = io.Copy(io.Discard, r.Body)

		panic(http.ErrAbortHandler) // breaks the connection after the request
	}), nil)

	by := httpClient(t, false)
	once := must(onceconnect.NewClient(interceptor.WithMethods(noteMethod), interceptor.WithRetry(retry.Policy{MaxAttempts: 1})))(t)
	c := dialBy(by, url, connect.WithInterceptors(once))

	for range 2 {
		_, _ = c.note.CallUnary(t.Context(), connect.NewRequest(&shopv1.NoteRequest{}))
	}

	if calls.Load() != 2 {
		t.Errorf("the server got %d requests of 2 calls", calls.Load())
	}
}

func TestACallThatFindsNoServerIsNotExecuted(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			var tries []interceptor.Attempt

			url := closedURL(t)
			c := dialOnce(t, url, opts, soon(), interceptor.WithMethods(noteMethod),
				interceptor.WithAttemptObserver(func(_ context.Context, a interceptor.Attempt) { tries = append(tries, a) }))

			_, err := c.note.CallUnary(t.Context(), connect.NewRequest(&shopv1.NoteRequest{}))
			if connect.CodeOf(err) != connect.CodeUnavailable || onlyonce.VerdictOf(err) != onlyonce.VerdictNotExecuted || len(tries) != 5 {
				t.Errorf("%v, verdict %v, %d attempts", err, onlyonce.VerdictOf(err), len(tries))
			}
		})
	}
}

// closedURL is the URL of a server that has ended.
func closedURL(t *testing.T) (url string) {
	t.Helper()

	t.Run("closed", func(t *testing.T) { url = serve(t, http.NotFoundHandler(), nil) })

	return url
}

func TestARequestThatConnectRefusesIsNotSentEmpty(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			opts = append(opts, connect.WithSendMaxBytes(1), connect.WithInterceptors(must(onceconnect.NewClient(soon()))(t)))

			got := dialBy(onceconnect.HTTPClient(httpClient(t, true)), w.url, opts...).payKeyed(t.Context(), "")
			if connect.CodeOf(got.err) != connect.CodeResourceExhausted || onlyonce.VerdictOf(got.err) != onlyonce.VerdictNotExecuted ||
				w.runs.Load() != 0 {
				t.Errorf("%v, verdict %v, %d runs", got.err, onlyonce.VerdictOf(got.err), w.runs.Load())
			}

			// Without HTTPClient an empty request may have run.
			if got := dialBy(httpClient(t, true), w.url, opts...).payKeyed(t.Context(), ""); onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown {
				t.Errorf("%v, verdict %v, %d runs", got.err, onlyonce.VerdictOf(got.err), w.runs.Load())
			}
		})
	}
}

func TestHTTPClientPassesEmptyRequests(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			opts = append(opts, connect.WithInterceptors(must(onceconnect.NewClient())(t)), connect.WithHTTPGet())
			c := dialBy(onceconnect.HTTPClient(httpClient(t, true)), w.url, opts...)

			c.payFor(t.Context(), "", new(shopv1.PayRequest)).must(t, onlyonce.StatusExecuted)
			must(c.find.CallUnary(t.Context(), connect.NewRequest(&shopv1.FindRequest{Order: "1"})))(t)
		})
	}
}

func TestAResponseThatIsTooLargeIsNoFailedCall(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			c := dialOnce(t, w.url, append(opts, connect.WithReadMaxBytes(1)), soon())

			for range 2 {
				if got := c.payKeyed(t.Context(), "key"); onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown || w.runs.Load() != 1 {
					t.Errorf("%v, verdict %v, %d runs", got.err, onlyonce.VerdictOf(got.err), w.runs.Load())
				}
			}
		})
	}
}

func TestRetriesOfAContextCanBeChanged(t *testing.T) {
	w := newWorld(t, setup{})
	w.pay = func(context.Context, *payRequest) (*payResponse, error) {
		return nil, onlyonce.NotExecuted(connect.NewError(connect.CodeUnavailable, errors.New("closed")))
	}

	c := dialOnce(t, w.url, nil, soon())

	if got := c.payKeyed(onceconnect.ContextWithoutRetry(t.Context()), "key"); got.err == nil || w.runs.Load() != 1 {
		t.Errorf("%v, %d runs", got.err, w.runs.Load())
	}

	twice := onceconnect.ContextWithRetry(t.Context(), retry.Policy{MaxAttempts: 2})
	if got := c.payKeyed(twice, "key"); onlyonce.VerdictOf(got.err) != onlyonce.VerdictNotExecuted || w.runs.Load() != 3 {
		t.Errorf("%v, %d runs", got.err, w.runs.Load())
	}
}

func TestAClientThatIsInstalledTwiceRetriesOnce(t *testing.T) {
	w := newWorld(t, setup{})
	w.pay = func(context.Context, *payRequest) (*payResponse, error) {
		return nil, onlyonce.NotExecuted(connect.NewError(connect.CodeUnavailable, errors.New("closed")))
	}

	once := must(onceconnect.NewClient(soon()))(t)

	dial(t, w.url, connect.WithInterceptors(once, once)).payKeyed(t.Context(), "")

	if w.runs.Load() != 5 {
		t.Errorf("%d runs", w.runs.Load())
	}
}

func TestAHandlerCallsUnderADerivedKey(t *testing.T) {
	seen := new(requests)
	behind := newWorld(t, setup{wrap: seen.wrap})
	downstream := dialOnce(t, behind.url, nil, soon())

	w := newWorld(t, setup{server: []interceptor.ServerOption{
		interceptor.WithMethodPolicy(payMethod, interceptor.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}}),
	}})
	w.pay = func(ctx context.Context, req *payRequest) (*payResponse, error) {
		forwarded := connect.NewRequest(req.Msg)
		for name, values := range req.Header() { // a proxy that passes all headers on
			if strings.HasPrefix(name, "Idempotency") {
				forwarded.Header()[name] = values
			}
		}

		resp, err := downstream.pay.CallUnary(ctx, forwarded)
		if err != nil {
			return nil, err
		}

		if w.runs.Load() == 1 {
			return nil, connect.NewError(connect.CodeUnavailable, errors.New("again"))
		}

		return connect.NewResponse(resp.Msg), nil
	}

	for range 2 {
		dial(t, w.url).payKeyed(t.Context(), "key")
	}

	keys := seen.values(interceptor.KeyHeader)
	if len(keys) != 2 || keys[0] != keys[1] || keys[0] == "key" || keys[0] == "" || behind.runs.Load() != 1 {
		t.Errorf("the keys are %q, %d runs", keys, behind.runs.Load())
	}
}

func TestStreamsOfAClientPass(t *testing.T) {
	w := newWorld(t, setup{})

	stream := must(dialOnce(t, w.url, nil).watch.CallServerStream(t.Context(), connect.NewRequest(&shopv1.WatchRequest{})))(t)
	if !stream.Receive() || stream.Receive() || stream.Err() != nil {
		t.Error(stream.Err())
	}

	_ = stream.Close()
}

func TestInvalidOptionsAreReported(t *testing.T) {
	if _, err := onceconnect.NewClient(interceptor.WithMethods("Pay")); err == nil {
		t.Error("no error")
	}
}
