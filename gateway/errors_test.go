package oncegateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// withDetails is an error with details.
func withDetails(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return err
	}

	return st.Err()
}

// rejecting is a handler of a server that rejects a call as the interceptor does.
func rejecting(reason onlyonce.Reason, domain string) func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
	return func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		_ = grpc.SetTrailer(ctx, metadata.Pairs(interceptor.StatusTrailer, "rejected", interceptor.PushbackTrailer, "1500"))

		return nil, withDetails(codes.Unavailable, "wait",
			&errdetails.ErrorInfo{Reason: string(reason), Domain: domain},
			&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
		)
	}
}

// The column "over HTTP" of the contract.
func TestEveryReasonHasTheStatusOfTheContract(t *testing.T) {
	for reason, want := range map[onlyonce.Reason]int{
		onlyonce.ReasonKeyMissing: 400, onlyonce.ReasonNotSupported: 501, onlyonce.ReasonKeyInvalid: 400, onlyonce.ReasonKeyReused: 422,
		onlyonce.ReasonKeyExpired: 422, onlyonce.ReasonInProgress: 409, onlyonce.ReasonLeaseLost: 409, onlyonce.ReasonOutcomeUnknown: 409,
		onlyonce.ReasonOutcomeNotStored: 409, onlyonce.ReasonStoreUnavailable: 503, onlyonce.ReasonStoreFull: 429,
		onlyonce.ReasonScopeMissing: 401, onlyonce.ReasonRecordUnreadable: 500, onlyonce.ReasonRecordNewer: 503,
	} {
		t.Run(string(reason), func(t *testing.T) {
			w := start(t, setup{unprotected: true}, rejecting(reason, interceptor.Domain))

			a := w.post(charges, "order-1", payload).mustReject(want, reason)
			if a.header.Get("Retry-After") != "2" {
				t.Errorf("Retry-After is %q, want 2, which is 1.5 s rounded up", a.header.Get("Retry-After"))
			}

			for name := range a.header {
				if strings.Contains(name, "Pushback") {
					t.Errorf("the answer has %s", name)
				}
			}
		})
	}
}

// A rejection that a handler passes on speaks of another call.
func TestARejectionOfAnotherServiceIsAnOrdinaryError(t *testing.T) {
	w := start(t, setup{unprotected: true}, rejecting(onlyonce.ReasonInProgress, interceptor.DownstreamDomain))

	if a := w.post(charges, "order-1", payload); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestRecordedErrorsAreReplayedWithTheirStatus(t *testing.T) {
	for name, s := range map[string]setup{"over a connection": {}, "in process": {inProcess: true}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, s, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
				_ = grpc.SetTrailer(ctx, metadata.Pairs("till", "7"))

				return nil, withDetails(codes.NotFound, "no such customer", &errdetails.ResourceInfo{ResourceName: "ann"})
			})

			first := w.post(charges, "order-1", payload).mustBe(onlyonce.StatusExecuted, http.StatusNotFound)
			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusNotFound).mustEqual(first)
			w.mustHaveRun(1)

			if !strings.Contains(first.body, "google.rpc.ResourceInfo") {
				t.Errorf("the detail is lost: %s", first.body)
			}

			trailed := w.post(charges, "order-1", payload, "TE", "trailers")
			if trailed.mustBe(onlyonce.StatusReplayed, http.StatusNotFound).trailer.Get("Grpc-Trailer-Till") != "7" {
				t.Errorf("the trailers are %v", trailed.trailer)
			}
		})
	}
}

func TestADetailThatIsNotLinkedIsLeftOutAndNothingElse(t *testing.T) {
	unknown := &anypb.Any{TypeUrl: "type.googleapis.com/till.v1.NotLinkedHere", Value: []byte{8, 1}}

	known, err := anypb.New(&errdetails.RequestInfo{RequestId: "r-1"})
	if err != nil {
		t.Fatal(err)
	}

	w := start(t, setup{}, func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		return nil, status.ErrorProto(&spb.Status{
			Code: int32(codes.OutOfRange), Message: "too much", Details: []*anypb.Any{unknown, known, unknown},
		})
	})

	a := w.post(charges, "order-1", payload).mustBe(onlyonce.StatusExecuted, http.StatusBadRequest)
	if !strings.Contains(a.body, "too much") || strings.Count(a.body, "@type") != 1 || !strings.Contains(a.body, "r-1") {
		t.Errorf("the body is %s", a.body)
	}
}

// The text may come from a file or from a database. A handler in this process returns it as it is.
func TestAMessageThatIsNotUTF8DoesNotHideItsError(t *testing.T) {
	for name, s := range map[string]setup{"over a connection": {}, "in process": {inProcess: true}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, s, func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
				return nil, status.Error(codes.Unavailable, "caf\xe9")
			})

			for key, said := range map[string]onlyonce.Status{"": "", "order-1": onlyonce.StatusUnknown} {
				a := w.post(charges, key, payload).mustBe(said, http.StatusServiceUnavailable)
				if !strings.Contains(a.body, "caf\uFFFD") {
					t.Errorf("key %q: the body is %s", key, a.body)
				}
			}
		})
	}
}

func TestProblems(t *testing.T) {
	w := start(t, setup{options: []oncegateway.Option{oncegateway.WithProblems()}},
		func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
			return nil, withDetails(codes.NotFound, "no such customer", &errdetails.ResourceInfo{ResourceName: "ann"})
		})

	type problem struct {
		Type    string            `json:"type"`
		Title   string            `json:"title"`
		Detail  string            `json:"detail"`
		Reason  string            `json:"reason"`
		Code    string            `json:"code"`
		First   string            `json:"first"`
		Status  int               `json:"status"`
		Details []json.RawMessage `json:"details"`
	}

	read := func(a *answer) (p problem) {
		t.Helper()

		if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v %s: %v", a.header, a.body, err)
		}

		return p
	}

	p := read(w.post(charges, "order-1", payload).mustBe(onlyonce.StatusExecuted, http.StatusNotFound))
	if p.Type != "about:blank" || p.Title != "Not Found" || p.Detail != "no such customer" || p.Status != http.StatusNotFound ||
		p.Code != "NOT_FOUND" || len(p.Details) != 1 {
		t.Errorf("an error of the application: %+v", p)
	}

	p = read(w.post(charges, "order-1", `{"cents": "200"}`).mustBe(onlyonce.StatusRejected, http.StatusUnprocessableEntity))
	if !strings.HasSuffix(p.Type, "docs/http.md#idempotency_key_reused") || p.Title == "" || p.Detail == "" || p.First != "completed" ||
		p.Reason != "IDEMPOTENCY_KEY_REUSED" || p.Status != http.StatusUnprocessableEntity || p.Code != "FAILED_PRECONDITION" {
		t.Errorf("a rejection: %+v", p)
	}

	p = read(w.post("/nowhere", "order-1", payload).mustBe("", http.StatusNotFound))
	if p.Status != http.StatusNotFound || p.Code != "NOT_FOUND" {
		t.Errorf("an unknown path: %+v", p)
	}
}

// The gateway does not know what a server would have said.
func TestErrorsOfTheGatewayItselfHaveNoStatusOfTheContract(t *testing.T) {
	w := start(t, setup{}, nil)

	w.post(charges, "order-1", `{`).mustBe("", http.StatusBadRequest)
	w.mustHaveRun(0)
}

func TestAnErrorHandlerOfTheApplicationGetsBothForms(t *testing.T) {
	var code codes.Code

	w := start(t, setup{options: []oncegateway.Option{oncegateway.WithErrorHandler(
		func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, rw http.ResponseWriter, _ *http.Request, err error) {
			code = status.Code(err)

			if form, ok := errors.AsType[*runtime.HTTPStatusError](err); ok {
				rw.WriteHeader(form.HTTPStatus)
			}
		})}}, nil)

	w.post(charges, "order 1", payload).mustBe(onlyonce.StatusRejected, http.StatusBadRequest)

	if code != codes.InvalidArgument {
		t.Errorf("the code is %v", code)
	}
}

// A matcher that passes on all metadata passes on the content type of gRPC, too.
func TestAnErrorHasOneContentType(t *testing.T) {
	every := oncegateway.WithOutgoingHeaderMatcher(func(name string) (string, bool) { return name, true })

	for want, options := range map[string][]oncegateway.Option{
		"application/json": {every}, "application/problem+json": {every, oncegateway.WithProblems()},
	} {
		w := start(t, setup{options: options}, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
			return nil, errors.Join(grpc.SetHeader(ctx, metadata.Pairs("x-till", "7")), status.Error(codes.NotFound, "no such customer"))
		})

		got := w.post(charges, "", payload)
		if got.status != http.StatusNotFound || !slices.Equal(got.header["Content-Type"], []string{want}) || got.header.Get("X-Till") != "7" {
			t.Errorf("%d %v, want the content type %s", got.status, got.header, want)
		}
	}
}
