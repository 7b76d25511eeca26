package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestOutcomeOfACall(t *testing.T) {
	answered := func(code codes.Code, status onlyonce.Status) turn { return turn{code: code, status: status} }

	tests := map[string]struct {
		turns []turn
		want  onlyonce.Verdict
	}{
		"a response":                   {[]turn{paid()}, onlyonce.VerdictFinal},
		"a recorded error":             {[]turn{answered(codes.NotFound, "executed")}, onlyonce.VerdictFinal},
		"a replayed error":             {[]turn{answered(codes.NotFound, "replayed")}, onlyonce.VerdictFinal},
		"a replayed error of any code": {[]turn{answered(codes.Unavailable, "replayed")}, onlyonce.VerdictFinal},
		"a run's answer that gRPC may have replaced": {
			[]turn{answered(codes.ResourceExhausted, "executed")}, onlyonce.VerdictUnknown,
		},
		"a run's error that gRPC cannot have made": {[]turn{answered(codes.Unavailable, "executed")}, onlyonce.VerdictFinal},
		"released":                           {[]turn{answered(codes.Aborted, "released")}, onlyonce.VerdictNotExecuted},
		"released at every attempt":          {[]turn{unavailable()}, onlyonce.VerdictNotExecuted},
		"unknown":                            {[]turn{answered(codes.Internal, "unknown")}, onlyonce.VerdictUnknown},
		"an unknown error that sounds final": {[]turn{answered(codes.NotFound, "unknown")}, onlyonce.VerdictUnknown},
		"unrecorded":                         {[]turn{answered(codes.NotFound, "unrecorded")}, onlyonce.VerdictUnknown},
		"unprotected":                        {[]turn{answered(codes.NotFound, "unprotected")}, onlyonce.VerdictUnknown},
		"no status":                          {[]turn{answered(codes.NotFound, "")}, onlyonce.VerdictUnknown},
		"a status nobody knows":              {[]turn{answered(codes.NotFound, "news")}, onlyonce.VerdictUnknown},

		"KEY_EXPIRED": {[]turn{rejectedTurn(codes.FailedPrecondition, onlyonce.ReasonKeyExpired)}, onlyonce.VerdictUnknown},
		"KEY_REUSED":  {[]turn{rejectedTurn(codes.FailedPrecondition, onlyonce.ReasonKeyReused)}, onlyonce.VerdictUnknown},
		"KEY_INVALID": {[]turn{rejectedTurn(codes.InvalidArgument, onlyonce.ReasonKeyInvalid)}, onlyonce.VerdictFinal},
		"KEY_MISSING": {[]turn{rejectedTurn(codes.InvalidArgument, onlyonce.ReasonKeyMissing)}, onlyonce.VerdictFinal},
		"IN_PROGRESS": {[]turn{rejectedTurn(codes.Unavailable, onlyonce.ReasonInProgress)}, onlyonce.VerdictUnknown},
		"LEASE_LOST":  {[]turn{rejectedTurn(codes.Unavailable, onlyonce.ReasonLeaseLost)}, onlyonce.VerdictUnknown},
		"OUTCOME_UNKNOWN": {
			[]turn{{code: codes.Unknown, status: "unknown", reason: onlyonce.ReasonOutcomeUnknown}}, onlyonce.VerdictUnknown,
		},
		"OUTCOME_NOT_STORED": {[]turn{rejectedTurn(codes.Unknown, onlyonce.ReasonOutcomeNotStored)}, onlyonce.VerdictUnknown},
		"STORE_UNAVAILABLE":  {[]turn{rejectedTurn(codes.Unavailable, onlyonce.ReasonStoreUnavailable)}, onlyonce.VerdictUnknown},
		"STORE_FULL":         {[]turn{rejectedTurn(codes.ResourceExhausted, onlyonce.ReasonStoreFull)}, onlyonce.VerdictUnknown},
		"RECORD_UNREADABLE":  {[]turn{rejectedTurn(codes.DataLoss, onlyonce.ReasonRecordUnreadable)}, onlyonce.VerdictUnknown},
		"RECORD_NEWER":       {[]turn{rejectedTurn(codes.Unavailable, onlyonce.ReasonRecordNewer)}, onlyonce.VerdictUnknown},
		"a reason nobody knows": {
			[]turn{rejectedTurn(codes.Internal, "IDEMPOTENCY_NEWS")}, onlyonce.VerdictUnknown,
		},
		"a refused replay, which means that something ran": {
			[]turn{answered(codes.PermissionDenied, "rejected")}, onlyonce.VerdictUnknown,
		},
		"a downstream server's rejection": {
			[]turn{{code: codes.FailedPrecondition, status: "unknown", reason: onlyonce.ReasonKeyReused, domain: "onlyonce.downstream"}},
			onlyonce.VerdictUnknown,
		},

		"ambiguous, then released": {
			[]turn{answered(codes.Unavailable, "unknown"), answered(codes.Aborted, "released")}, onlyonce.VerdictUnknown,
		},
		"no answer, then released":   {[]turn{answered(codes.Unavailable, ""), answered(codes.Aborted, "released")}, onlyonce.VerdictUnknown},
		"in progress, then released": {[]turn{inProgressTurn(0), answered(codes.Aborted, "released")}, onlyonce.VerdictUnknown},
		"ambiguous, then a key reused": {
			[]turn{answered(codes.Unavailable, ""), rejectedTurn(codes.FailedPrecondition, onlyonce.ReasonKeyReused)}, onlyonce.VerdictUnknown,
		},
		"ambiguous, then no scope any more": {
			[]turn{answered(codes.Unavailable, ""), rejectedTurn(codes.Unauthenticated, onlyonce.ReasonScopeMissing)}, onlyonce.VerdictUnknown,
		},
		"ambiguous, then recorded": {
			[]turn{answered(codes.Unavailable, "unknown"), answered(codes.NotFound, "replayed")}, onlyonce.VerdictFinal,
		},
		"released, then ambiguous": {[]turn{unavailable(), answered(codes.Internal, "unknown")}, onlyonce.VerdictUnknown},
		"released, then recorded":  {[]turn{unavailable(), answered(codes.NotFound, "executed")}, onlyonce.VerdictFinal},
		"ambiguous, then paid":     {[]turn{answered(codes.Unavailable, "unknown"), paid()}, onlyonce.VerdictFinal},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a := playConfirmed(t, test.turns)
				if got := onlyonce.VerdictOf(a.err); got != test.want {
					t.Errorf("the outcome is %v, want %v; the error is %v", got, test.want, a.err)
				}
			})
		})
	}
}

// The error with the strongest statement decides, in any order of the joined errors.
func TestOutcomeOfJoinedErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := func(turns ...turn) error {
			_, a := play(t, turns, nil)

			return a.err
		}
		final, open := of(turn{code: codes.NotFound, status: "executed"}), of(turn{code: codes.Internal, status: "unknown"})
		released := of(unavailable())
		plain := errors.New("of nobody's call")

		for _, test := range []struct {
			errs []error
			want onlyonce.Verdict
		}{
			{[]error{final, open}, onlyonce.VerdictUnknown},
			{[]error{released, open, final}, onlyonce.VerdictUnknown},
			{[]error{released, final}, onlyonce.VerdictFinal},
			{[]error{released, released}, onlyonce.VerdictNotExecuted},
			{[]error{plain, final}, onlyonce.VerdictFinal},
			{[]error{plain, fmt.Errorf("%w: %w", plain, released)}, onlyonce.VerdictNotExecuted},
			{[]error{plain, plain}, onlyonce.VerdictUnknown},
		} {
			for range 2 {
				if got := onlyonce.VerdictOf(fmt.Errorf("both: %w", errors.Join(test.errs...))); got != test.want {
					t.Errorf("the outcome of %q is %v, want %v", test.errs, got, test.want)
				}

				slices.Reverse(test.errs)
			}
		}
	})
}

func TestErrorOfACallHasItsKeyAndTheMessageOfTheHandler(t *testing.T) {
	w := start(t, setup{}, failing(status.Error(codes.Unavailable, "the ledger is busy")))
	client := w.client(t)

	_, err := client.UnaryCall(t.Context(), payment())
	if code := status.Code(err); code != codes.Unknown || !strings.Contains(err.Error(), "the ledger is busy") {
		t.Errorf("the answer is %v, want %v with what the handler said", err, codes.Unknown)
	}

	key := interceptor.KeyOf(fmt.Errorf("while paying: %w", err))
	if key == "" {
		t.Fatal("the error does not tell the key that was made for the call")
	}

	if _, again := client.UnaryCall(t.Context(), payment(), interceptor.WithKey(key)); interceptor.KeyOf(again) != key {
		t.Errorf("the error of the call with %q has the key %q", key, interceptor.KeyOf(again))
	}

	w.mustHaveRun(t, 1)

	_, err = client.UnaryCall(t.Context(), payment(), interceptor.WithKey("not a key"))
	if got := interceptor.KeyOf(err); err == nil || got != "not a key" {
		t.Errorf("the error %v of a call that was not sent has the key %q", err, got)
	}

	if got := interceptor.KeyOf(errors.New("of nobody's call")); got != "" {
		t.Errorf("another error has the key %q", got)
	}
}

func TestOutcomeOfACallWhoseConnectionIsLost(t *testing.T) {
	w := start(t, setup{tcp: true}, nil)
	w.handle = func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		w.listener.cut()

		return nil, onlyonce.NotExecuted(status.Error(codes.Aborted, "nobody hears this"))
	}

	_, err := w.client(t).UnaryCall(t.Context(), payment(), interceptor.WithoutRetry())
	if status.Code(err) != codes.Unavailable || onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
		t.Errorf("the answer is %v, outcome %v", err, onlyonce.VerdictOf(err))
	}
}

func TestF05_ClientGetsTheRecordedAnswerOverANewConnection(t *testing.T) {
	faults := newFaultStore()
	w := start(t, setup{store: faults, tcp: true}, nil)
	log := &journal{}
	conn := w.clientConn(t, log.option())

	w.confirm(t, conn)

	cut := false

	faults.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
		res, err := faults.Store.Complete(ctx, op)
		if !cut {
			cut = true

			w.listener.cut()
		}

		return res, err
	}

	resp, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), payment(), grpc.WaitForReady(true))
	if err != nil || resp.GetUsername() != "run 1" {
		t.Errorf("the answer is %v, %v", resp, err)
	}

	if seen := log.seen()[1:]; len(seen) != 2 || seen[0].Status != "" || seen[1].Status != onlyonce.StatusReplayed {
		t.Errorf("the attempts are %+v", seen)
	}

	w.mustHaveRun(t, 1)
}

func TestAnswerOfAnEarlierAttemptIsForgotten(t *testing.T) {
	log := &journal{}

	// The first attempt is answered; for the second there is no server any more.
	w := start(t, setup{tcp: true, unprotected: true}, scripted(turn{code: codes.Unavailable, status: "released", pushback: []string{"100"}}))
	conn := w.clientConn(t, log.option(), interceptor.WithRetry(retry.Policy{MaxAttempts: 2}), interceptor.WithAttemptObserver(
		func(ctx context.Context, a interceptor.Attempt) {
			log.observe(ctx, a)
			w.listener.Close()
			w.listener.cut()
		}))

	a := callOn(t.Context(), conn, unaryCall, payment())

	seen := log.seen()
	if len(seen) != 2 || seen[0].Status != "released" || seen[1].Status != "" {
		t.Errorf("the attempts are %+v", seen)
	}

	if got := onlyonce.VerdictOf(a.err); got == onlyonce.VerdictFinal {
		t.Errorf("the outcome is %v; the error is %v", got, a.err)
	}
}

func TestF58_ServerWithoutTheInterceptorIsReported(t *testing.T) {
	tests := map[string]struct {
		turn        turn
		unconfirmed bool
	}{
		"a response":                    {turn{}, true},
		"a handler's error":             {turn{code: codes.NotFound}, true},
		"an auth interceptor's refusal": {turn{code: codes.Unauthenticated}, false},
		"a permission":                  {turn{code: codes.PermissionDenied}, false},
		"perhaps the connection":        {turn{code: codes.Unavailable}, false},
		"a confirmed response":          {paid(), false},
		"a confirmed error":             {turn{code: codes.NotFound, status: "executed"}, false},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			log := &journal{}
			play(t, []turn{test.turn}, []interceptor.ClientOption{log.option()}, interceptor.WithoutRetry(), interceptor.WithKey("key"))

			seen := log.seen()
			if len(seen) != 1 || seen[0].Unconfirmed != test.unconfirmed {
				t.Fatalf("the attempts are %+v, want unconfirmed: %t", seen, test.unconfirmed)
			}

			if seen[0].Method != unaryCall || seen[0].Key != "key" || seen[0].Number != 1 || seen[0].Elapsed < 0 || seen[0].Elapsed > time.Minute {
				t.Errorf("the attempt is %+v", seen[0])
			}
		})
	}
}

func TestAnswerThatIsLostOnItsWayIsNotAFailedCall(t *testing.T) {
	large := giving(&pb.SimpleResponse{Payload: &pb.Payload{Body: make([]byte, 5000)}})

	// The handler has succeeded and its answer is recorded. The error that the caller gets is none of its own.
	tests := map[string]func(t *testing.T) *world{
		"the server may not send it": func(t *testing.T) *world {
			t.Helper()

			return start(t, setup{options: []grpc.ServerOption{grpc.MaxSendMsgSize(1000)}}, large)
		},
		"the client may not receive it": func(t *testing.T) *world {
			t.Helper()

			return start(t, setup{}, large)
		},
		"an outer interceptor replaces it": func(t *testing.T) *world {
			t.Helper()

			return start(t, setup{before: []grpc.UnaryServerInterceptor{
				func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
					_, _ = handler(ctx, req)

					return nil, context.DeadlineExceeded
				},
			}}, nil)
		},
	}

	for name, world := range tests {
		t.Run(name, func(t *testing.T) {
			w := world(t)
			conn := w.clientConn(t)

			for range 3 {
				a := callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithKey("key"), grpc.MaxCallRecvMsgSize(1000))
				if got := onlyonce.VerdictOf(a.err); a.err == nil || got != onlyonce.VerdictUnknown {
					t.Errorf("the answer is %v with outcome %v, and the handler has succeeded", a.err, got)
				}
			}

			w.mustHaveRun(t, 1)
		})
	}
}

// The first answer is the recorded one, unless gRPC or a proxy may have replaced it with its own error.
func TestFinalErrorOfAnyCodeIsFinal(t *testing.T) {
	for code, first := range map[codes.Code]onlyonce.Verdict{
		codes.Aborted: onlyonce.VerdictFinal, codes.Unavailable: onlyonce.VerdictFinal, codes.DataLoss: onlyonce.VerdictFinal,
		codes.Unimplemented: onlyonce.VerdictFinal, codes.NotFound: onlyonce.VerdictFinal, codes.PermissionDenied: onlyonce.VerdictFinal,
		codes.Canceled: onlyonce.VerdictUnknown, codes.Unknown: onlyonce.VerdictUnknown, codes.DeadlineExceeded: onlyonce.VerdictUnknown,
		codes.ResourceExhausted: onlyonce.VerdictUnknown, codes.Internal: onlyonce.VerdictUnknown,
	} {
		t.Run(code.String(), func(t *testing.T) {
			seen := &arrivals{}
			w := start(t, setup{before: seen.before()}, failing(onlyonce.Final(status.Error(code, "closed for good"))))
			conn := w.clientConn(t)

			for n, want := range []onlyonce.Verdict{first, onlyonce.VerdictFinal} {
				a := callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithKey("key"))
				a.mustFail(t, code, "closed for good")

				if got := onlyonce.VerdictOf(a.err); got != want {
					t.Errorf("the outcome of call %d is %v, want %v", n+1, got, want)
				}
			}

			seen.mustBe(t, 2) // no retry
			w.mustHaveRun(t, 1)
		})
	}
}

// Servers ignore the keys of health checks, unless configured otherwise.
func TestF58_HealthChecksAreNotAmongAllMethods(t *testing.T) {
	log := &journal{}
	w := start(t, setup{register: func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health.NewServer()) }}, nil)

	if _, err := healthpb.NewHealthClient(w.clientConn(t, log.option())).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}

	if seen := log.seen(); len(seen) > 0 && (seen[0].Unconfirmed || seen[0].Key != "") {
		t.Errorf("the attempts are %+v", seen)
	}
}

func TestF58_AnswerOfAMethodThatIsNotDeclaredProtectedIsNotReported(t *testing.T) {
	log := &journal{}
	w := start(t, setup{unprotected: true}, nil)

	dial, err := interceptor.DialOptions(interceptor.WithMethods(emptyCall), log.option())
	if err != nil {
		t.Fatal(err)
	}

	conn := w.dial(t, dial...)
	callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithKey("key")).mustAnswer(t, "run 1")
	callOn(t.Context(), conn, emptyCall, payment(), interceptor.WithKey("key"))

	if seen := log.seen(); len(seen) != 2 || seen[0].Unconfirmed || !seen[1].Unconfirmed {
		t.Errorf("the attempts are %+v, want an alarm for the second alone", seen)
	}
}
