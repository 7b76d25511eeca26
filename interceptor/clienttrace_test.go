package interceptor_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// steps records the events of a trace.
type steps struct {
	lines []string
	end   interceptor.CallEnd
}

type stepKey struct{}

func (s *steps) addf(ctx context.Context, format string, args ...any) {
	from, _ := ctx.Value(stepKey{}).(string)
	s.lines = append(s.lines, from+"/"+fmt.Sprintf(format, args...))
}

func (s *steps) trace() *interceptor.ClientTrace {
	return &interceptor.ClientTrace{
		Begin: func(ctx context.Context, call interceptor.CallInfo) context.Context {
			s.addf(ctx, "begin %s %s", call.Method, call.Key)

			return context.WithValue(ctx, stepKey{}, "call")
		},
		BeginAttempt: func(ctx context.Context, number int) context.Context {
			s.addf(ctx, "begin attempt %d", number)

			return metadata.AppendToOutgoingContext(context.WithValue(ctx, stepKey{}, "attempt"), "attempt-span", strconv.Itoa(number))
		},
		EndAttempt: func(ctx context.Context, a interceptor.Attempt) {
			s.addf(ctx, "end attempt %d %s %s", a.Number, status.Code(a.Err), a.Stop)
		},
		End: func(ctx context.Context, end interceptor.CallEnd) {
			s.end = end
			s.addf(ctx, "end %d %s %s %s", end.Attempts, end.Status, end.Stop, status.Code(end.Err))
		},
	}
}

func (s *steps) mustBe(t *testing.T, want ...string) {
	t.Helper()

	if !slices.Equal(s.lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(s.lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestTraceFollowsACallAndItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s steps

		observed := 0
		seen, a := play(t, []turn{{code: codes.Unavailable, status: "released"}, paid()}, []interceptor.ClientOption{
			interceptor.WithClientTrace(s.trace()),
			interceptor.WithAttemptObserver(func(context.Context, interceptor.Attempt) { observed++ }),
		}, interceptor.WithKey("k"), interceptor.WithCallRetry(retry.Policy{BaseDelay: time.Second, MaxDelay: time.Second}))

		seen.mustBe(t, 2)

		if a.err != nil || observed != 2 {
			t.Errorf("the answer is %v, after %d observed attempts", a.err, observed)
		}

		s.mustBe(t, "/begin "+unaryCall+" k",
			"call/begin attempt 1", "attempt/end attempt 1 Unavailable none",
			"call/begin attempt 2", "attempt/end attempt 2 OK success", "call/end 2 executed success OK")

		if s.end.Delay <= 0 || s.end.Delay > time.Second || s.end.Elapsed < s.end.Delay || s.end.Target == "" || s.end.StoppedUnconfirmed {
			t.Errorf("the end is %+v", s.end)
		}
	})
}

// The caller cancels between two attempts.
func TestTraceReportsACallThatEndsWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s steps

		ctx, cancel := context.WithCancel(t.Context())
		trace := s.trace()
		trace.EndAttempt = func(context.Context, interceptor.Attempt) { time.AfterFunc(time.Second, cancel) }

		w := start(t, setup{unprotected: true}, scripted(turn{code: codes.Unavailable, status: "released"}))
		conn := w.clientConn(t, interceptor.WithClientTrace(trace))
		a := callOn(ctx, conn, unaryCall, payment(), interceptor.WithCallRetry(retry.Policy{
			BaseDelay: time.Hour, MaxDelay: time.Hour, MaxAttempts: 2,
		}))

		if status.Code(a.err) != codes.Canceled && onlyonce.VerdictOf(a.err) != onlyonce.VerdictNotExecuted {
			t.Errorf("the answer is %v", a.err)
		}

		if s.end.Attempts != 1 || s.end.Stop != retry.StopCancelled || s.end.Delay > time.Second || s.end.Delay <= 0 {
			t.Errorf("the end is %+v", s.end)
		}
	})
}

func TestTraceReportsACallThatWasStoppedUnconfirmed(t *testing.T) {
	var s steps

	w := start(t, setup{unprotected: true}, scripted(turn{code: codes.Unavailable}))
	a := callOn(t.Context(), w.clientConn(t, patiently(), interceptor.WithClientTrace(s.trace())), unaryCall, payment())

	if status.Code(a.err) != codes.Unavailable || !s.end.StoppedUnconfirmed || s.end.Stop != retry.StopNotRetryable || s.end.Attempts != 1 {
		t.Errorf("the end is %+v", s.end)
	}
}

func TestTraceSeesNoCallWithoutAKey(t *testing.T) {
	var s steps

	dial, err := interceptor.DialOptions(interceptor.WithMethods(emptyCall), interceptor.WithClientTrace(s.trace()))
	if err != nil {
		t.Fatal(err)
	}

	w := start(t, setup{unprotected: true}, nil)
	if a := callOn(t.Context(), w.dial(t, dial...), cacheableCall, payment()); a.err != nil {
		t.Error(a.err)
	}

	s.mustBe(t)
}

// Spans of a call that panics are not left open.
func TestTraceOfACallThatPanicsEnds(t *testing.T) {
	var s steps

	intercept, err := interceptor.UnaryClientInterceptor(interceptor.WithAllMethods(), interceptor.WithClientTrace(s.trace()))
	if err != nil {
		t.Fatal(err)
	}

	func() {
		defer func() {
			if problem := recover(); problem != "the codec panics" {
				t.Errorf("the caller gets the panic %v", problem)
			}
		}()

		_ = intercept(t.Context(), unaryCall, nil, nil, nil,
			func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
				panic("the codec panics")
			},
			interceptor.WithKey("k"))
	}()

	s.mustBe(t, "/begin "+unaryCall+" k", "call/begin attempt 1", "attempt/end attempt 1 Unknown not-retryable",
		"call/end 1  not-retryable Unknown")

	if verdict := onlyonce.VerdictOf(s.end.Err); verdict != onlyonce.VerdictUnknown {
		t.Errorf("the verdict is %v", verdict)
	}
}
