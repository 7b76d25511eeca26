package interceptor_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
	"github.com/onlyonce-go/onlyonce/retry"
)

// F75: the client's options call a method protected, and its server does not have the kit.
func TestF75_ServerWithoutTheKitChargesNothingTwice(t *testing.T) {
	for name, option := range map[string]interceptor.ClientOption{
		"WithMethods":     interceptor.WithMethods(unaryCall),
		"WithAllMethods":  interceptor.WithAllMethods(),
		"WithMethodMatch": interceptor.WithMethodMatch(func(string) bool { return true }),
	} {
		t.Run(name, func(t *testing.T) {
			book, reported, seen := &ledger{}, &report{}, &journal{}
			w, line := startLossy(t, setup{unprotected: true}, book.charge)
			line.lose(3)

			dial, err := interceptor.DialOptions(option, patiently(), reported.option(), seen.option())
			if err != nil {
				t.Fatal(err)
			}

			answered, errs := charge(t, w.dial(t, dial...))
			book.mustNotDouble(t, errs)
			w.mustHaveRun(t, manyOrders)

			if answered != manyOrders-line.losses() || line.losses() == 0 {
				t.Errorf("%d answers, %d replies were lost", answered, line.losses())
			}

			for _, err := range errs {
				if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "has not confirmed that it protects "+unaryCall) ||
					!strings.Contains(err.Error(), "the servers first, then on the clients") {
					t.Errorf("the error does not say why the call was not retried: %v", err)
				}
			}

			for _, attempt := range seen.seen() {
				if attempt.Unconfirmed != (attempt.Err == nil) || attempt.Number != 1 {
					t.Errorf("an attempt is seen as %+v", attempt)
				}
			}

			reported.mustHave(t, 1, "level=WARN", "method="+unaryCall, "target=passthrough:///server.test", "servers of the target first")
		})
	}
}

// F75: a confirmed method keeps its configured retries when connections break.
func TestF75_ConfirmedMethodKeepsItsRetries(t *testing.T) {
	book, reported := &ledger{}, &report{}
	w, line := startLossy(t, setup{}, book.charge)
	conn := w.clientConn(t, patiently(), reported.option())

	callOn(t.Context(), conn, unaryCall, order("the first")).mustHaveStatus(t, onlyonce.StatusExecuted)
	line.lose(3)

	if answered, errs := charge(t, conn); answered != manyOrders {
		t.Errorf("%d of %d orders are answered: %v", answered, manyOrders, errs)
	}

	book.mustNotDouble(t, nil)
	w.mustHaveRun(t, manyOrders+1)
	reported.mustHave(t, 0)

	if line.losses() == 0 {
		t.Error("no reply was lost")
	}
}

// F75: a replay and a rejection confirm as well as a first answer does.
func TestF75_EveryAnswerWithAStatusConfirms(t *testing.T) {
	for _, first := range []turn{
		paid(), {status: "replayed"}, {code: codes.NotFound, status: "executed"}, {code: codes.Internal, status: "unknown"},
		rejectedTurn(codes.FailedPrecondition, onlyonce.ReasonKeyReused), unavailable(),
	} {
		w, line := startLossy(t, setup{unprotected: true}, scripted(first, paid()))
		conn := w.clientConn(t, patiently())

		callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithoutRetry())
		line.lose(2) // the second

		a := callOn(t.Context(), conn, unaryCall, payment(), grpc.WaitForReady(true))
		a.mustAnswer(t, "paid")

		line.lose(1)

		if a := callOn(t.Context(), conn, emptyCall, payment(), interceptor.WithCallRetry(retry.Policy{MaxAttempts: 3})); a.err == nil ||
			!strings.Contains(fmt.Sprint(a.err), "has not confirmed that it protects "+emptyCall) {
			t.Errorf("another method of the connection is confirmed, too: %v", a.err)
		}
	}
}

// F75: UNAVAILABLE without a status comes from a proxy in front of the server. It is retried if the method is
// confirmed, and changes nothing.
func TestF75_UnavailableInFrontOfAConfirmedServerIsRetried(t *testing.T) {
	reported, seen := &report{}, &journal{}
	w := start(t, setup{unprotected: true}, nil)

	conn := w.clientConn(t, patiently(), reported.option(), seen.option())
	w.handle = scripted(turn{code: codes.Unavailable}, paid())

	a := callOn(t.Context(), conn, unaryCall, payment())
	a.mustFail(t, codes.Unavailable, "scripted Unavailable")

	if !strings.Contains(fmt.Sprint(a.err), "has not confirmed") {
		t.Errorf("before the first confirmation: %v", a.err)
	}

	callOn(t.Context(), conn, unaryCall, payment()).mustAnswer(t, "paid")
	w.handle = scripted(turn{code: codes.Unavailable}, turn{code: codes.Unavailable}, paid())
	callOn(t.Context(), conn, unaryCall, payment()).mustAnswer(t, "paid")

	// Others that something in front may give are not retried, and change nothing.
	for _, code := range []codes.Code{
		codes.Unauthenticated, codes.PermissionDenied, codes.ResourceExhausted, codes.Unimplemented, codes.DeadlineExceeded, codes.Canceled,
	} {
		w.handle = scripted(turn{code: code}, turn{code: codes.Unavailable}, paid())
		callOn(t.Context(), conn, unaryCall, payment()).mustFail(t, code, "scripted "+code.String())
		callOn(t.Context(), conn, unaryCall, payment()).mustAnswer(t, "paid")
	}

	for _, attempt := range seen.seen() {
		if attempt.Unconfirmed {
			t.Errorf("an attempt is seen as %+v", attempt)
		}
	}

	reported.mustHave(t, 0)
}

// F75: OK without a status, or an error of the application without one, shows that the server no longer protects the method.
func TestF75_AnswerWithoutAStatusEndsTheConfirmation(t *testing.T) {
	for name, bare := range map[string]turn{
		"OK": {}, "NOT_FOUND": {code: codes.NotFound}, "INTERNAL": {code: codes.Internal}, "UNKNOWN": {code: codes.Unknown},
		"ABORTED": {code: codes.Aborted}, "FAILED_PRECONDITION": {code: codes.FailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			reported, seen := &report{}, &journal{}
			proxy := turn{code: codes.Unavailable}
			again := slices.Repeat([]turn{paid()}, 16)
			w := start(t, setup{unprotected: true}, scripted(append(append([]turn{paid(), bare, proxy}, again...), proxy, paid())...))

			retried := []codes.Code{codes.Unavailable}
			if bare.code != codes.OK {
				retried = append(retried, bare.code)
			}

			conn := w.clientConn(t, reported.option(), seen.option(), interceptor.WithRetryCodes(retried...))

			callOn(t.Context(), conn, unaryCall, payment()).mustAnswer(t, "paid")

			a := callOn(t.Context(), conn, unaryCall, payment())
			if status.Code(a.err) != bare.code || a.err != nil && onlyonce.VerdictOf(a.err) != onlyonce.VerdictUnknown {
				t.Errorf("the answer is %v, %v, verdict %v", a.resp, a.err, onlyonce.VerdictOf(a.err))
			}

			if a.err != nil && !strings.Contains(fmt.Sprint(a.err), "has not confirmed that it protects "+unaryCall) {
				t.Errorf("the error does not say why the call was not retried: %v", a.err)
			}

			callOn(t.Context(), conn, unaryCall, payment()).mustFail(t, codes.Unavailable, "scripted Unavailable") // not retried

			for range again { // they confirm again
				callOn(t.Context(), conn, unaryCall, payment()).mustAnswer(t, "paid")
			}

			callOn(t.Context(), conn, unaryCall, payment()).mustAnswer(t, "paid") // retried
			w.mustHaveRun(t, 21)

			for i, attempt := range seen.seen() {
				if attempt.Unconfirmed != (i == 1) {
					t.Errorf("attempt %d is seen as %+v", i+1, attempt)
				}
			}

			reported.mustHave(t, 1)
		})
	}
}

// F75: without an option that names a logger, the report goes to slog.Default, which programs set late.
func TestF75_ReportGoesToTheDefaultLogger(t *testing.T) {
	w := start(t, setup{unprotected: true}, nil)
	conn := w.clientConn(t)

	before, reported := slog.Default(), &report{}
	slog.SetDefault(slog.New(slog.NewTextHandler(reported, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })

	for range 3 {
		callOn(t.Context(), conn, unaryCall, payment())
	}

	reported.mustHave(t, 1, "method="+unaryCall)
}

// F75: a method that is protected in its .proto is presumed confirmed, until an answer says otherwise.
func TestF75_AnnotatedMethodIsPresumedConfirmed(t *testing.T) {
	b := &branchBank{}
	line := &lossy{}
	w := startBank(t, setup{tcp: true, before: []grpc.UnaryServerInterceptor{line.intercept}}, b)
	line.line = w.listener
	line.lose(2)

	conn := annotatedClient(t, w, patiently())
	_, first := transfer(t.Context(), conn, transferOf("", "acme"))
	first.mustHaveStatus(t, onlyonce.StatusExecuted)

	line.lose(1)

	other := annotatedClient(t, w, interceptor.WithRetry(retry.Policy{MaxAttempts: 2, MaxDelay: time.Millisecond}))
	if _, a := transfer(t.Context(), other, transferOf("", "acme"), grpc.WaitForReady(true)); status.Code(a.err) != codes.Unavailable ||
		strings.Contains(fmt.Sprint(a.err), "has not confirmed") {
		t.Errorf("the answer is %v", a.err)
	}

	b.mustHaveRun(t, 2)

	if line.losses() != 2 {
		t.Errorf("%d replies were lost, want that of the attempt and that of its retry", line.losses())
	}
}

func TestF75_AnnotatedMethodOfAServerWithoutTheKitIsNotPresumedForLong(t *testing.T) {
	b, reported := &branchBank{}, &report{}
	line := &lossy{}
	w := startBank(t, setup{tcp: true, unprotected: true, before: []grpc.UnaryServerInterceptor{line.intercept}}, b)
	line.line = w.listener

	conn := annotatedClient(t, w, patiently(), reported.option())

	if _, a := transfer(t.Context(), conn, transferOf("", "acme")); a.err != nil {
		t.Fatal(a.err)
	}

	line.lose(1)

	if _, a := transfer(t.Context(), conn, transferOf("", "acme")); !strings.Contains(fmt.Sprint(a.err), "has not confirmed") {
		t.Errorf("the answer is %v", a.err)
	}

	b.mustHaveRun(t, 2)
	reported.mustHave(t, 1, "method="+bankv1.BankService_Transfer_FullMethodName)
}

// F75: the handler of a server without the kit has charged and answers UNAVAILABLE. A presumption does not make that an answer of a proxy.
func TestF75_AnnotatedMethodOfAServerWithoutTheKitIsNotRetriedAfterUnavailable(t *testing.T) {
	b := &branchBank{transfer: func(context.Context, *bankv1.TransferRequest) (*bankv1.TransferResponse, error) {
		return nil, status.Error(codes.Unavailable, "charged, but the mail server is down")
	}}
	w := startBank(t, setup{unprotected: true}, b)

	if _, a := transfer(t.Context(), annotatedClient(t, w), transferOf("", "acme")); status.Code(a.err) != codes.Unavailable ||
		onlyonce.VerdictOf(a.err) != onlyonce.VerdictUnknown || !strings.Contains(fmt.Sprint(a.err), "has not confirmed") {
		t.Errorf("the answer is %v", a.err)
	}

	b.mustHaveRun(t, 1)
}

// F75: a program that calls whatever its clients name has more methods than are kept. Further ones are never presumed to be protected, and
// are reported once together.
func TestF75_MethodsBeyondTheBoundAreNotConfirmed(t *testing.T) {
	b, reported, line := &branchBank{}, &report{}, &lossy{}
	w := startBank(t, setup{tcp: true, unprotected: true, before: []grpc.UnaryServerInterceptor{line.intercept}}, b)
	line.line = w.listener

	conn := w.dial(t, mustDial(t, interceptor.WithAllMethods(), patiently(), reported.option())...)

	ended, cancel := context.WithCancel(t.Context())
	cancel()

	for i := range 4096 {
		_ = conn.Invoke(ended, fmt.Sprint("/unknown.Service/", i), payment(), new(pb.SimpleResponse)) // is not sent
	}

	for range 3 {
		if _, a := transfer(t.Context(), conn, transferOf("", "acme")); a.err != nil {
			t.Fatal(a.err)
		}
	}

	reported.mustHave(t, 1, "method="+bankv1.BankService_Transfer_FullMethodName)
	line.lose(1)

	if _, a := transfer(t.Context(), conn, transferOf("", "acme")); !strings.Contains(fmt.Sprint(a.err), "has not confirmed") {
		t.Errorf("the answer is %v", a.err)
	}

	b.mustHaveRun(t, 4)
}

// A server may pass on the trailer of another server. It looks like its own, so only the servers can tell them apart.
func TestStatusTrailerIsAllThatConfirms(t *testing.T) {
	reported := &report{}
	w := start(t, setup{unprotected: true}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_ = grpc.SetTrailer(ctx, metadata.Pairs(interceptor.ExecutedAtTrailer, "2026-01-01T00:00:00Z", interceptor.ReplayedHeader, "true"))

		return &pb.SimpleResponse{}, nil
	})

	callOn(t.Context(), w.clientConn(t, reported.option()), unaryCall, payment())
	reported.mustHave(t, 1)
}
