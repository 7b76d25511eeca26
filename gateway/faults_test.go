package oncegateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// transport is a client of the kit for HTTP.
func (w *world) transport(opts ...oncehttp.ClientOption) *http.Client {
	w.t.Helper()

	quick := oncehttp.WithRetry(retry.Policy{MaxAttempts: 3, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond})

	transport, err := oncehttp.NewTransport(w.client.Transport, append([]oncehttp.ClientOption{quick}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}

	return &http.Client{Transport: transport}
}

// The connection between the gateway and the server breaks after the handler has returned.
func TestF05TheReplyOfTheServerIsLostOnTheWayToTheGateway(t *testing.T) {
	lose := make(chan struct{}, 1)
	lose <- struct{}{}

	var w *world

	w = start(t, setup{}, func(_ context.Context, req *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		select {
		case <-lose:
			w.listener.cut()
		default:
		}

		return &tillv1.ChargeResponse{Number: w.runs.Load(), Cents: req.GetCents()}, nil
	})

	w.post(charges, "order-1", payload).mustBe("", http.StatusServiceUnavailable)

	second := w.post(charges, "order-1", payload)
	for second.status == http.StatusServiceUnavailable { // until the gateway has connected again
		second = w.post(charges, "order-1", payload)
	}

	second.mustBe(onlyonce.StatusReplayed, http.StatusOK)
	w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(second)
	w.mustHaveRun(1)

	if !strings.Contains(second.body, `"1"`) || !strings.Contains(second.body, `"100"`) {
		t.Errorf("the body is %s", second.body)
	}
}

func TestF20ARunGoesOnWhenItsHTTPClientHasGone(t *testing.T) {
	for name, s := range map[string]setup{"over a connection": {}, "in process": {inProcess: true}} {
		t.Run(name, func(t *testing.T) {
			begun, gone := make(chan struct{}), make(chan struct{})

			var once bool

			w := start(t, s, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
				if !once {
					once = true

					close(begun)
					<-gone
				}

				return &tillv1.ChargeResponse{Number: 1}, ctx.Err()
			})

			ctx, cancel := context.WithCancel(t.Context())
			r := w.request(ctx, charges, "order-1", payload)
			left := make(chan error)

			go func() {
				resp, err := w.client.Do(r)
				if err == nil {
					resp.Body.Close()
				}

				left <- err
			}()

			<-begun
			cancel()

			if err := <-left; !errors.Is(err, context.Canceled) {
				t.Errorf("the client that leaves gets %v", err)
			}

			close(gone)

			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK)
			w.mustHaveRun(1)
		})
	}
}

func TestF24AnotherRequestUnderTheSameKeyIsRejected(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})

	w := start(t, setup{}, func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		close(begun)
		<-goOn

		return &tillv1.ChargeResponse{Number: 1}, nil
	})

	answered := make(chan *answer)
	r := w.request(t.Context(), charges, "order-1", payload)

	go func() { answered <- w.send(r) }()

	<-begun

	// The customer is in the path, and the amount in the body.
	for _, other := range [][2]string{{"/v1/customers/bob/charges", payload}, {charges, `{"cents": "200"}`}} {
		a := w.post(other[0], "order-1", other[1]).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
		if !strings.Contains(a.body, `"running"`) {
			t.Errorf("the first runs, and the body is %s", a.body)
		}
	}

	close(goOn)
	(<-answered).mustBe(onlyonce.StatusExecuted, http.StatusOK)

	a := w.post(charges, "order-1", `{"cents": "200"}`).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
	if !strings.Contains(a.body, `"completed"`) {
		t.Errorf("the first has completed, and the body is %s", a.body)
	}

	w.mustHaveRun(1)
}

// Two methods are two calls. Two paths to one method are one call, and so is a call over gRPC.
func TestF25AKeyIsThatOfAMethodAndNotOfAPath(t *testing.T) {
	w := start(t, setup{}, nil)

	first := w.post(charges, "order-1", payload).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.post("/v1/customers/ann/refunds", "order-1", payload).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.mustHaveRun(2)

	w.post("/v1/charges", "order-1", `{"customer": "ann", "cents": 100}`).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)

	client := tillv1.NewTillServiceClient(w.dial(w.backend.String()))
	ctx := metadata.AppendToOutgoingContext(t.Context(), interceptor.KeyHeader, "order-1")

	resp, err := client.Charge(ctx, &tillv1.ChargeRequest{Customer: "ann", Cents: 100})
	if err != nil || resp.GetNumber() != 1 {
		t.Errorf("over gRPC: %v, %v; want the charge 1", resp, err)
	}

	w.mustHaveRun(2)
}

func TestF51AnEmptyAnswerIsReplayedAsSuch(t *testing.T) {
	w := start(t, setup{}, nil)

	first := w.post("/v1/ping", "order-1", "{}").mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.post("/v1/ping", "order-1", "{}").mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
	w.mustHaveRun(1)

	if strings.TrimSpace(first.body) != "{}" {
		t.Errorf("the body is %q", first.body)
	}
}

// The gateway never says that a server is protected which is not.
func TestF58AServerWithoutTheInterceptorConfirmsNothing(t *testing.T) {
	w := start(t, setup{unprotected: true}, func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		return nil, status.Error(codes.Unavailable, "overloaded")
	})

	resp, err := w.transport().Do(w.request(t.Context(), charges, "", payload))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	if o := oncehttp.OutcomeOf(resp, nil); o.Attempts != 1 || o.Status != "" || o.Verdict != onlyonce.VerdictUnknown {
		t.Errorf("the outcome is %+v; want one attempt, no status, and an unknown verdict", o)
	}

	w.mustHaveRun(1)
}

// The client of the kit for HTTP reads rejections in both forms.
func TestF76AReusedKeyWhoseFirstRequestIsUnknownHasAnUnknownVerdict(t *testing.T) {
	for name, opts := range map[string][]oncegateway.Option{"google.rpc.Status": nil, "problem": {oncegateway.WithProblems()}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{options: opts}, func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
				return nil, status.Error(codes.Internal, "the bank did not answer")
			})

			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusUnknown, http.StatusInternalServerError)

			for body, want := range map[string]struct {
				reason onlyonce.Reason
				status int
			}{
				payload:            {onlyonce.ReasonOutcomeUnknown, http.StatusConflict},
				`{"cents": "200"}`: {onlyonce.ReasonKeyReused, http.StatusUnprocessableEntity},
			} {
				resp, err := w.transport().Do(w.request(t.Context(), charges, "order-1", body))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()

				if o := oncehttp.OutcomeOf(resp, nil); o.Reason != want.reason || o.Verdict != onlyonce.VerdictUnknown || o.Key != "order-1" ||
					resp.StatusCode != want.status {
					t.Errorf("%d, the outcome is %+v; want %d, %s, an unknown verdict, and the key", resp.StatusCode, o, want.status, want.reason)
				}
			}

			w.mustHaveRun(1)
		})
	}
}
