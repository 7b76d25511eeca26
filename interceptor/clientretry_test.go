package interceptor_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// play makes one call to a scripted server, and returns the attempts and the answer.
func play(t *testing.T, turns []turn, opts []interceptor.ClientOption, call ...grpc.CallOption) (*arrivals, answer) {
	t.Helper()

	seen := &arrivals{}
	w := start(t, setup{unprotected: true, before: seen.before()}, scripted(turns...))

	return seen, callOn(t.Context(), w.clientConn(t, opts...), unaryCall, payment(), call...)
}

// playConfirmed is play on a connection on which an earlier call has confirmed that the server protects the method.
func playConfirmed(t *testing.T, turns []turn, opts ...interceptor.ClientOption) (*arrivals, answer) {
	t.Helper()

	seen := &arrivals{}
	w := start(t, setup{unprotected: true, before: seen.before()}, scripted(turns...))
	conn := w.clientConn(t, opts...)

	w.confirm(t, conn)
	seen.forget()

	return seen, callOn(t.Context(), conn, unaryCall, payment())
}

// confirm makes a call whose answer confirms that the server protects the method. It does not count as a run.
func (w *world) confirm(t *testing.T, conn grpc.ClientConnInterface) {
	t.Helper()

	handle := w.handle
	w.handle = scripted(paid())

	callOn(t.Context(), conn, unaryCall, payment()).mustHaveStatus(t, onlyonce.StatusExecuted)
	w.runs.Store(0)

	w.handle = handle
}

func TestClientRetriesWhatTheContractAllows(t *testing.T) {
	const never, again = 1, 2

	tests := map[string]struct {
		turn turn
		want int
	}{
		"a handler's UNAVAILABLE":         {turn{code: codes.Unavailable, status: "released"}, again},
		"an ambiguous UNAVAILABLE":        {turn{code: codes.Unavailable, status: "unknown"}, again},
		"an UNAVAILABLE without a status": {turn{code: codes.Unavailable}, again},
		"IN_PROGRESS":                     {rejectedTurn(codes.Unavailable, onlyonce.ReasonInProgress), again},
		"LEASE_LOST":                      {rejectedTurn(codes.Unavailable, onlyonce.ReasonLeaseLost), again},
		"STORE_UNAVAILABLE":               {rejectedTurn(codes.Unavailable, onlyonce.ReasonStoreUnavailable), again},
		"STORE_FULL":                      {rejectedTurn(codes.ResourceExhausted, onlyonce.ReasonStoreFull), again},
		"RECORD_NEWER":                    {rejectedTurn(codes.Unavailable, onlyonce.ReasonRecordNewer), again},
		"OUTCOME_UNKNOWN": {
			turn{code: codes.Unknown, status: "unknown", reason: onlyonce.ReasonOutcomeUnknown, retryInfo: time.Minute}, never,
		},
		"OUTCOME_NOT_STORED":              {rejectedTurn(codes.Unknown, onlyonce.ReasonOutcomeNotStored), never},
		"KEY_EXPIRED":                     {rejectedTurn(codes.FailedPrecondition, onlyonce.ReasonKeyExpired), never},
		"KEY_REUSED":                      {rejectedTurn(codes.FailedPrecondition, onlyonce.ReasonKeyReused), never},
		"KEY_INVALID":                     {rejectedTurn(codes.InvalidArgument, onlyonce.ReasonKeyInvalid), never},
		"KEY_MISSING":                     {rejectedTurn(codes.InvalidArgument, onlyonce.ReasonKeyMissing), never},
		"SCOPE_MISSING":                   {rejectedTurn(codes.Unauthenticated, onlyonce.ReasonScopeMissing), never},
		"RECORD_UNREADABLE":               {rejectedTurn(codes.DataLoss, onlyonce.ReasonRecordUnreadable), never},
		"a reason nobody knows":           {turn{code: codes.Unavailable, status: "rejected", reason: "IDEMPOTENCY_NEWS"}, never},
		"RESOURCE_EXHAUSTED of a handler": {turn{code: codes.ResourceExhausted, status: "unknown"}, never},
		"ABORTED":                         {turn{code: codes.Aborted, status: "released"}, never},
		"INTERNAL":                        {turn{code: codes.Internal, status: "unknown"}, never},
		"NOT_FOUND":                       {turn{code: codes.NotFound, status: "executed"}, never},
		"a recorded UNAVAILABLE":          {turn{code: codes.Unavailable, status: "executed"}, never},
		"a replayed UNAVAILABLE":          {turn{code: codes.Unavailable, status: "replayed"}, never},
		"another service's STORE_FULL": {
			turn{code: codes.ResourceExhausted, status: "unknown", reason: onlyonce.ReasonStoreFull, domain: downstream}, never,
		},
		"a stranger's ErrorInfo": {
			turn{code: codes.ResourceExhausted, status: "unknown", reason: onlyonce.ReasonStoreFull, domain: "bank.test"}, never,
		},
		"another service's KEY_REUSED": {
			turn{code: codes.Unavailable, status: "unknown", reason: onlyonce.ReasonKeyReused, domain: downstream}, again,
		},
		"DEADLINE_EXCEEDED of the handler": {turn{code: codes.DeadlineExceeded, status: "unknown"}, never},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen, a := playConfirmed(t, []turn{test.turn, paid()})
				seen.mustBe(t, test.want)

				if test.want == again {
					a.mustAnswer(t, "paid")
				} else if status.Code(a.err) != test.turn.code {
					t.Errorf("the answer is %v, %v", a.resp, a.err)
				}
			})
		})
	}
}

func TestRetryCodesReplaceTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codesOf := []interceptor.ClientOption{interceptor.WithRetryCodes(codes.Aborted, codes.Internal)}

		for code, want := range map[codes.Code]int{codes.Aborted: 2, codes.Internal: 2, codes.Unavailable: 1} {
			seen, _ := play(t, []turn{{code: code, status: "released"}, paid()}, codesOf)
			seen.mustBe(t, want)
		}

		// The contract's rules for rejections do not depend on the option.
		seen, a := play(t, []turn{{code: codes.Unavailable, status: "rejected", reason: onlyonce.ReasonInProgress}, paid()}, codesOf)
		seen.mustBe(t, 2)
		a.mustAnswer(t, "paid")
	})
}

func TestClientWaitsExactlyAsLongAsThePushback(t *testing.T) {
	tests := map[string]struct {
		turn turn
		want time.Duration
	}{
		"pushback":                       {turn{pushback: []string{"1234"}}, 1234 * time.Millisecond},
		"no delay at all":                {turn{pushback: []string{"0"}}, 0},
		"RetryInfo":                      {turn{retryInfo: 2500*time.Millisecond + 1}, 2500*time.Millisecond + 1},
		"pushback goes before RetryInfo": {turn{pushback: []string{"7000"}, retryInfo: time.Second}, 7 * time.Second},
		"longer than any backoff":        {turn{pushback: []string{"3600000"}}, time.Hour},
		"a negative RetryInfo is none":   {turn{retryInfo: -time.Second}, 0},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.turn.code, test.turn.status, test.turn.reason = codes.Unavailable, "rejected", onlyonce.ReasonInProgress

				seen, a := play(t, []turn{test.turn, test.turn, paid()}, nil)
				a.mustAnswer(t, "paid")

				if got := seen.gaps(); !slices.Equal(got, []time.Duration{test.want, test.want}) {
					t.Errorf("the retries came after %v, want %v each", got, test.want)
				}
			})
		})
	}
}

func TestClientBacksOffWithoutPushback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen, _ := play(t, []turn{unavailable()}, []interceptor.ClientOption{interceptor.WithRetry(retry.Policy{
			MaxAttempts: 8, BaseDelay: time.Second, MaxDelay: 10 * time.Second, Multiplier: 3,
		})})
		seen.mustBe(t, 8)

		for i, gap := range seen.gaps() {
			if limit := []float64{1, 3, 9, 10, 10, 10, 10}[i]; gap.Seconds() > limit {
				t.Errorf("retry %d came after %v, want %v s at most", i+1, gap, limit)
			}
		}
	})
}

func TestNegativeOrMalformedPushbackStopsTheClient(t *testing.T) {
	for name, values := range map[string][]string{
		"negative": {
			"-1"}, "malformed": {"soon"}, "empty": {""}, "a fraction": {"1.5"}, "out of range": {"99999999999"}, "several": {"1", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen, a := play(t, []turn{{code: codes.Unavailable, status: "released", pushback: values}, paid()}, nil)
				seen.mustBe(t, 1)
				a.mustFail(t, codes.Unavailable, "scripted Unavailable")
			})
		})
	}
}

func TestCallsShareTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget, err := retry.NewBudget(6, 1)
		if err != nil {
			t.Fatal(err)
		}

		seen := &arrivals{}
		w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable()))
		client := w.client(t, interceptor.WithRetry(retry.Policy{Budget: budget}))
		other := w.client(t, interceptor.WithRetry(retry.Policy{Budget: budget}))

		_, _ = client.UnaryCall(t.Context(), payment()) // 6 tokens: two retries, and the third failure leaves 3
		seen.mustBe(t, 3)

		_, _ = other.UnaryCall(t.Context(), payment())
		seen.mustBe(t, 4)

		_, _ = client.UnaryCall(t.Context(), payment(), interceptor.WithCallRetry(retry.Policy{MaxAttempts: 9})) // the same budget
		seen.mustBe(t, 5)
	})
}

// The default delay is above the connection's MaxDelay. It is cut to it if the call sets no delays.
func TestRetryOfOneCallKeepsToTheDelaysOfTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen, _ := play(t, []turn{unavailable()}, []interceptor.ClientOption{
			interceptor.WithRetry(retry.Policy{BaseDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond}),
		}, interceptor.WithCallRetry(retry.Policy{MaxAttempts: 3}))
		seen.mustBe(t, 3)

		seen, _ = play(t, []turn{unavailable()}, []interceptor.ClientOption{
			interceptor.WithRetry(retry.Policy{MaxDelay: 10 * time.Millisecond}),
		}, interceptor.WithCallRetry(retry.Policy{MaxAttempts: 3}))
		seen.mustBe(t, 3)
	})
}

func TestRetryOfOneCall(t *testing.T) {
	tests := map[string]struct {
		opts []grpc.CallOption
		want int
	}{
		"the connection's": {nil, 3},
		"a longer delay than the connection's": {
			[]grpc.CallOption{interceptor.WithCallRetry(retry.Policy{MaxAttempts: 4, BaseDelay: time.Minute})}, 4,
		},
		"its own":        {[]grpc.CallOption{interceptor.WithCallRetry(retry.Policy{MaxAttempts: 4})}, 4},
		"shorter delays": {[]grpc.CallOption{interceptor.WithCallRetry(retry.Policy{MaxAttempts: 4, MaxDelay: time.Millisecond})}, 4},
		"none":           {[]grpc.CallOption{interceptor.WithoutRetry()}, 1},
		"the last one that is set": {
			[]grpc.CallOption{interceptor.WithoutRetry(), interceptor.WithCallRetry(retry.Policy{MaxAttempts: 2})}, 2,
		},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen, a := play(t, []turn{unavailable()}, []interceptor.ClientOption{
					interceptor.WithRetry(retry.Policy{MaxAttempts: 3}),
				}, test.opts...)
				seen.mustBe(t, test.want)
				a.mustFail(t, codes.Unavailable, "scripted Unavailable")

				for _, key := range seen.values("idempotency-key") {
					if key == "" {
						t.Error("an attempt had no key")
					}
				}
			})
		})
	}
}

func TestRetryOfOneCallThatCannotHoldIsRefused(t *testing.T) {
	seen, a := play(t, []turn{paid()}, nil, interceptor.WithCallRetry(retry.Policy{MaxAttempts: -1}))
	seen.mustBe(t, 0)

	if status.Code(a.err) != codes.InvalidArgument || onlyonce.VerdictOf(a.err) != onlyonce.VerdictNotExecuted {
		t.Errorf("the answer is %v, %v, outcome %v", a.resp, a.err, onlyonce.VerdictOf(a.err))
	}
}

func TestCallersOwnHeaderAndTrailerOptionsStillWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, nil)
		w.handle = func() handlerFunc {
			fail := rich(failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))))

			return scriptedHandlers(fail, rich(answering("paid")))
		}()

		var header, trailer, again metadata.MD

		resp, err := w.client(t).UnaryCall(t.Context(), payment(), grpc.Trailer(&again), grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || resp.GetUsername() != "paid" {
			t.Fatalf("the answer is %v, %v", resp, err)
		}

		said, cost := trailer.Get("idempotency-status"), again.Get("x-cost")
		if !slices.Equal(said, []string{"executed"}) || !slices.Equal(cost, []string{"3", "4"}) {
			t.Errorf("trailers %v and %v, want those of the last attempt", trailer, again)
		}

		if got := header.Get("x-many"); !slices.Equal(got, []string{"b", "a", "b"}) {
			t.Errorf("header x-many is %q", got)
		}
	})
}

// scriptedHandlers runs one handler after the other.
func scriptedHandlers(handlers ...handlerFunc) handlerFunc {
	next := make(chan handlerFunc, len(handlers))
	for _, handle := range handlers {
		next <- handle
	}

	return func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		return (<-next)(ctx, req)
	}
}
