package interceptor_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	callsjournal "github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/retry"
)

func openJournal(t *testing.T, path string, opts ...callsjournal.Option) *callsjournal.Journal {
	t.Helper()

	j, err := callsjournal.Open(path, opts...)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}

	t.Cleanup(func() { _ = j.Close() }) // a test may have closed it

	return j
}

// keptCalls is a journal store in memory, for fake time.
type keptCalls struct {
	mu      sync.Mutex
	last    uint64
	entries []callsjournal.Entry
	refuses error // of appends
	keeps   error // of removals
}

func (k *keptCalls) Append(_ context.Context, entry callsjournal.Entry) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.refuses != nil {
		return 0, k.refuses
	}

	k.last++
	entry.ID = k.last
	k.entries = append(k.entries, entry)

	return k.last, nil
}

func (k *keptCalls) Remove(_ context.Context, id uint64, _ bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.keeps != nil {
		return k.keeps
	}

	k.entries = slices.DeleteFunc(k.entries, func(e callsjournal.Entry) bool { return e.ID == id })

	return nil
}

func (k *keptCalls) Entries(context.Context) ([]callsjournal.Entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	return slices.Clone(k.entries), nil
}

func (k *keptCalls) Close() error { return nil }

func (k *keptCalls) journal(t *testing.T) *callsjournal.Journal {
	t.Helper()

	j, err := callsjournal.New(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}

	return j
}

// leftCall is a call that an earlier process has left.
func leftCall(t *testing.T, target string, age time.Duration) *keptCalls {
	t.Helper()

	body, err := proto.Marshal(payment())
	if err != nil {
		t.Fatal(err)
	}

	return &keptCalls{last: 1, entries: []callsjournal.Entry{
		{ID: 1, Method: unaryCall, Key: "order-1", Target: target, Request: body, Written: time.Now().Add(-age)},
	}}
}

func TestACallIsInTheJournalFromBeforeItsFirstAttemptUntilItsAnswer(t *testing.T) {
	calls := &keptCalls{}

	var seen []callsjournal.Entry

	w := start(t, setup{}, func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		seen, _ = calls.Entries(context.Background()) //nolint:contextcheck // the test reads the journal

		return &pb.SimpleResponse{}, nil
	})
	conn := w.clientConn(t, interceptor.WithJournal(calls.journal(t)))

	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()

	if _, err := pb.NewTestServiceClient(conn).UnaryCall(ctx, payment(), interceptor.WithKey("order-1")); err != nil {
		t.Fatal(err)
	}

	deadline, _ := ctx.Deadline()
	body, _ := proto.Marshal(payment())

	if len(seen) != 1 || seen[0].Method != unaryCall || seen[0].Key != "order-1" || seen[0].Target != conn.Target() ||
		!seen[0].Deadline.Equal(deadline) || !bytes.Equal(seen[0].Request, body) {
		t.Errorf("during the call, the journal has %+v", seen)
	}

	if left, _ := calls.Entries(t.Context()); len(left) != 0 || calls.last != 1 {
		t.Errorf("after the call, the journal has %+v; %d were written", left, calls.last)
	}
}

func TestACallIsWrittenOnceWhateverItsAttempts(t *testing.T) {
	calls := &keptCalls{}
	failures := 2

	w := start(t, setup{}, func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		failures--

		if failures >= 0 {
			return nil, onlyonce.NotExecuted(status.Error(codes.Unavailable, "busy"))
		}

		return &pb.SimpleResponse{}, nil
	})
	client := w.client(t, interceptor.WithJournal(calls.journal(t)), interceptor.WithRetry(retry.Policy{BaseDelay: time.Millisecond}))

	if _, err := client.UnaryCall(t.Context(), payment()); err != nil {
		t.Fatal(err)
	}

	w.mustHaveRun(t, 3)

	if calls.last != 1 {
		t.Errorf("the call was written %d times", calls.last)
	}
}

func TestOnlyAnUnknownOutcomeStaysInTheJournal(t *testing.T) {
	for name, test := range map[string]struct {
		answer error
		want   int
	}{
		"definite":     {status.Error(codes.NotFound, "no such account"), 0},
		"not executed": {onlyonce.NotExecuted(status.Error(codes.Aborted, "try again")), 0},
		"ambiguous":    {status.Error(codes.Internal, "boom"), 1},
	} {
		calls := &keptCalls{}
		w := start(t, setup{}, failing(test.answer))
		j := calls.journal(t)

		_, err := w.client(t, interceptor.WithJournal(j)).UnaryCall(t.Context(), payment(), interceptor.WithoutRetry())
		if err == nil || j.Left() != test.want || len(calls.entries) != test.want {
			t.Errorf("%s: %v; %d are left, want %d", name, err, j.Left(), test.want)
		}
	}
}

func TestACallThatCannotBeWrittenIsNotSent(t *testing.T) {
	for _, test := range []struct {
		problem error
		code    codes.Code
		verdict onlyonce.Verdict
	}{
		{callsjournal.ErrFull, codes.ResourceExhausted, onlyonce.VerdictNotExecuted},
		{errors.New("no space left on device"), codes.Internal, onlyonce.VerdictNotExecuted},
		{callsjournal.ErrUncertain, codes.Internal, onlyonce.VerdictUnknown},
		{callsjournal.ErrLeft, codes.Internal, onlyonce.VerdictUnknown},
	} {
		w := start(t, setup{}, nil)
		calls := &keptCalls{refuses: test.problem}

		_, err := w.client(t, interceptor.WithJournal(calls.journal(t))).UnaryCall(t.Context(), payment(), interceptor.WithKey("order-1"))
		if !errors.Is(err, test.problem) || status.Code(err) != test.code || onlyonce.VerdictOf(err) != test.verdict ||
			interceptor.KeyOf(err) != "order-1" {
			t.Errorf("%v: the call fails with %v, verdict %v", test.problem, err, onlyonce.VerdictOf(err))
		}

		w.mustHaveRun(t, 0)
	}
}

func TestVerdictIsUnknownIfTheCallCannotBeRemovedFromTheJournal(t *testing.T) {
	w := start(t, setup{}, failing(onlyonce.NotExecuted(status.Error(codes.Aborted, "try again"))))
	calls := &keptCalls{keeps: errors.New("the disk is gone")}

	_, err := w.client(t, interceptor.WithJournal(calls.journal(t))).UnaryCall(t.Context(), payment(), interceptor.WithoutRetry())
	if onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown || !errors.Is(err, calls.keeps) || status.Code(err) != codes.Aborted {
		t.Errorf("the call fails with %v, verdict %v; want unknown", err, onlyonce.VerdictOf(err))
	}
}

// Resume sends the earlier call, which may have run. With a new key the effect could happen twice.
func TestVerdictIsUnknownWhileAnEarlierCallWithTheKeyIsLeft(t *testing.T) {
	w := start(t, setup{}, failing(onlyonce.NotExecuted(status.Error(codes.Aborted, "try again"))))
	j := leftCall(t, w.clientConn(t).Target(), 0).journal(t)
	client := w.client(t, interceptor.WithJournal(j))

	_, err := client.UnaryCall(t.Context(), payment(), interceptor.WithKey("order-1"), interceptor.WithoutRetry())
	if onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown || !errors.Is(err, callsjournal.ErrLeft) || status.Code(err) != codes.Aborted {
		t.Errorf("the same call fails with %v, verdict %v; want unknown", err, onlyonce.VerdictOf(err))
	}

	_, err = client.UnaryCall(t.Context(), payment(), interceptor.WithKey("order-2"), interceptor.WithoutRetry())
	if onlyonce.VerdictOf(err) != onlyonce.VerdictNotExecuted {
		t.Errorf("another call fails with %v, verdict %v; want not executed", err, onlyonce.VerdictOf(err))
	}

	if j.Left() != 1 {
		t.Errorf("%d calls are left, want the earlier one", j.Left())
	}
}

func TestCallsThatAreNotProtectedAreNotWritten(t *testing.T) {
	calls := &keptCalls{}
	w := start(t, setup{}, nil)

	dial, err := interceptor.DialOptions(interceptor.WithMethods(emptyCall), interceptor.WithJournal(calls.journal(t)))
	if err != nil {
		t.Fatal(err)
	}

	client := pb.NewTestServiceClient(w.dial(t, dial...))

	for _, opts := range [][]grpc.CallOption{nil, {interceptor.WithKey("order-1")}} {
		if _, err := client.UnaryCall(t.Context(), payment(), opts...); err != nil {
			t.Fatal(err)
		}
	}

	if calls.last != 0 {
		t.Errorf("%d calls were written", calls.last)
	}
}

func TestF05ResumeGetsTheAnswerOfTheFirstAttemptAndRunsNothingAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	first := openJournal(t, path)

	// The first process loses the answer.
	lost := func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		_ = invoker(ctx, method, req, reply, cc, opts...)

		return status.Error(codes.Unavailable, "the connection broke")
	}

	w := start(t, setup{}, nil)
	dial, _ := interceptor.DialOptions(interceptor.WithAllMethods(), interceptor.WithJournal(first))
	client := pb.NewTestServiceClient(w.dial(t, append(dial, grpc.WithChainUnaryInterceptor(lost))...))

	if _, err := client.UnaryCall(t.Context(), payment(), interceptor.WithoutRetry()); onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
		t.Fatalf("the call: %v, want an unknown outcome", err)
	}

	first.Close()

	second := openJournal(t, path)
	conn := w.clientConn(t, interceptor.WithJournal(second))

	var answers []string

	summary, err := interceptor.ResumeUnconfirmed(t.Context(), second, conn,
		callsjournal.OnAnswer(unaryCall, func(_ context.Context, a callsjournal.Answer) error {
			if response, ok := a.Response.(*pb.SimpleResponse); ok {
				answers = append(answers, response.GetUsername())
			}

			return a.Err
		}))
	if err != nil || summary != (callsjournal.Summary{Answered: 1}) || !slices.Equal(answers, []string{"run 1"}) || second.Left() != 0 {
		t.Errorf("Resume: %+v, %v; answers %v, %d are left", summary, err, answers, second.Left())
	}

	w.mustHaveRun(t, 1)
}

func TestF75ResumeSendsToConfirmedServersOnly(t *testing.T) {
	w := start(t, setup{}, nil)
	conn := w.clientConn(t, interceptor.WithRetry(retry.Policy{MaxAttempts: 1}))
	j := leftCall(t, conn.Target(), 0).journal(t)

	if summary, err := interceptor.Resume(t.Context(), j, conn); err == nil || summary.Left != 1 {
		t.Errorf("Resume before any answer: %+v, %v; want the call left", summary, err)
	}

	w.mustHaveRun(t, 0)

	if _, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), otherPayment()); err != nil {
		t.Fatal(err)
	}

	if summary, err := interceptor.Resume(t.Context(), j, conn); err != nil || summary.Answered != 1 {
		t.Errorf("Resume after a confirmation: %+v, %v", summary, err)
	}

	w.mustHaveRun(t, 2)
}

func TestResumeSendsNothingWithoutAProtectingInterceptor(t *testing.T) {
	w := start(t, setup{}, nil)

	others, err := interceptor.DialOptions(interceptor.WithMethods(emptyCall))
	if err != nil {
		t.Fatal(err)
	}

	for name, conn := range map[string]*grpc.ClientConn{"no interceptor": w.conn, "another method": w.dial(t, others...)} {
		j := leftCall(t, conn.Target(), 0).journal(t)

		if summary, err := interceptor.ResumeUnconfirmed(t.Context(), j, conn); err == nil || summary.Left != 1 {
			t.Errorf("%s: Resume: %+v, %v; want the call left", name, summary, err)
		}
	}

	w.mustHaveRun(t, 0)
}

func TestResumeLeavesACallWhoseAttemptReachedNobody(t *testing.T) {
	w := start(t, setup{}, nil)
	conn := w.clientConn(t, interceptor.WithRetry(retry.Policy{MaxAttempts: 1}))
	j := leftCall(t, conn.Target(), 0).journal(t)
	w.listener.Close()

	summary, err := interceptor.ResumeUnconfirmed(t.Context(), j, conn)
	if err == nil || summary.Left != 1 || j.Left() != 1 {
		t.Errorf("Resume: %+v, %v; want the call left: an earlier process may have sent it", summary, err)
	}
}

func TestNoAttemptOfResumeBeginsAfterTheRetentionOfTheInterceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			age  time.Duration
			runs int64
		}{{29 * time.Minute, 1}, {50 * time.Minute, 0}} {
			w := start(t, setup{}, nil)
			conn := w.clientConn(t, interceptor.WithRetention(40*time.Minute))
			j := leftCall(t, conn.Target(), test.age).journal(t)

			var reason error

			_, err := interceptor.ResumeUnconfirmed(t.Context(), j, conn,
				callsjournal.OnUnsent(func(_ context.Context, _ callsjournal.Entry, why error) error { reason = why; return nil }))
			if err != nil || errors.Is(reason, callsjournal.ErrTooOld) != (test.runs == 0) {
				t.Errorf("%v old: %v, reason %v", test.age, err, reason)
			}

			w.mustHaveRun(t, test.runs)
			conn.Close()
		}
	})
}

func TestRetriesOfResumeEndWithTheRetentionToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, failing(status.Error(codes.Unavailable, "busy")))
		conn := w.clientConn(t, interceptor.WithRetention(40*time.Minute), interceptor.WithRetry(retry.Policy{
			MaxAttempts: 1000, BaseDelay: 5 * time.Minute, MaxDelay: 5 * time.Minute,
		}))
		j := leftCall(t, conn.Target(), 20*time.Minute).journal(t)
		began := time.Now()

		if _, err := interceptor.ResumeUnconfirmed(t.Context(), j, conn); err == nil {
			t.Error("Resume got an answer from a server that has none")
		}

		if took := time.Since(began); took > 10*time.Minute {
			t.Errorf("attempts were made for %v; the call was 20m old, and 30m were allowed", took)
		}

		conn.Close()
	})
}
