package interceptor_test

import (
	"context"
	"strings"
	"sync"
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

const nativeConfig = `{"methodConfig": [{"name": [{}], "retryPolicy": {
		"maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]}}]}`

// nativeRetry switches gRPC's own retries on.
func nativeRetry() grpc.DialOption { return grpc.WithDefaultServiceConfig(nativeConfig) }

// arrivals is an interceptor that notes every attempt that reaches a server.
type arrivals struct {
	mu  sync.Mutex
	at  []time.Time
	all []metadata.MD
}

func (a *arrivals) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)

	a.mu.Lock()
	a.at = append(a.at, time.Now())
	a.all = append(a.all, md)
	a.mu.Unlock()

	return handler(ctx, req)
}

func (a *arrivals) before() []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{a.intercept}
}

// forget forgets the attempts so far.
func (a *arrivals) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.at, a.all = nil, nil
}

// gaps are the times between the attempts.
func (a *arrivals) gaps() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()

	var gaps []time.Duration
	for i := 1; i < len(a.at); i++ {
		gaps = append(gaps, a.at[i].Sub(a.at[i-1]))
	}

	return gaps
}

// values returns one string for each attempt: the values of a metadata name, each with a bar behind it.
func (a *arrivals) values(name string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()

	values := make([]string, 0, len(a.all))

	for _, md := range a.all {
		var all strings.Builder
		for _, value := range md.Get(name) {
			all.WriteString(value + "|")
		}

		values = append(values, all.String())
	}

	return values
}

func (a *arrivals) mustBe(t *testing.T, attempts int) {
	t.Helper()

	a.mu.Lock()
	defer a.mu.Unlock()

	if len(a.at) != attempts {
		t.Errorf("%d attempts reached the server, want %d", len(a.at), attempts)
	}
}

func TestF53_NativeRetriesDoNotMultiplyWithOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{before: seen.before()}, failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))))

		dial, err := interceptor.DialOptions(interceptor.WithAllMethods(), interceptor.WithRetry(retry.Policy{MaxAttempts: 3}))
		if err != nil {
			t.Fatal(err)
		}

		client := pb.NewTestServiceClient(w.dial(t, append(dial, nativeRetry())...))

		if _, err := client.UnaryCall(t.Context(), payment()); status.Code(err) != codes.Unavailable {
			t.Errorf("the answer is %v", err)
		}

		seen.mustBe(t, 3)

		for i, previous := range seen.values("grpc-previous-rpc-attempts") {
			if previous != "" {
				t.Errorf("attempt %d was one of gRPC's own retries: %q", i+1, previous)
			}
		}
	})
}

func TestNativeRetryAloneGetsTheAnswerOfARunningCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{
			before: seen.before(), server: policy(onlyonce.Policy{MaxWait: onlyonce.NoWait}),
		}, after(600*time.Millisecond, answering("paid")))

		first := w.payInBackground(t)

		synctest.Wait()

		conn := w.dial(t, nativeRetry())
		a := callOn(withKey(t.Context(), "key"), conn, unaryCall, payment())
		a.mustAnswer(t, "paid")
		a.mustHaveStatus(t, onlyonce.StatusReplayed)
		(<-first).mustAnswer(t, "paid")
		w.mustHaveRun(t, 1)

		// The first gap is between the two calls. All others are pushback: without it gRPC would wait for 100 ms at most.
		for _, gap := range seen.gaps()[1:] {
			if gap < 250*time.Millisecond || gap > 751*time.Millisecond {
				t.Errorf("a retry came after %v, want the 500 ms of the pushback give or take half", gap)
			}
		}

		if n := len(seen.gaps()); n < 2 {
			t.Errorf("there was no retry: %d gaps", n)
		}
	})
}

func TestNativeRetryDoesNotRepeatWhatIsNoUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{before: seen.before()}, failing(status.Error(codes.Internal, "no")))
		conn := w.dial(t, nativeRetry())
		ctx := withKey(t.Context(), "key")

		callOn(ctx, conn, unaryCall, payment()).mustHaveStatus(t, onlyonce.StatusUnknown)
		callOn(ctx, conn, unaryCall, payment()).mustBe(t, outcomeUnknown)
		callOn(ctx, conn, unaryCall, otherPayment()).mustBe(t, keyReused)
		seen.mustBe(t, 3)
	})
}
