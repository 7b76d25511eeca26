package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// ends is an observer of the ends of calls.
type ends struct {
	mu     sync.Mutex
	events []onlyonce.Event
}

func (e *ends) Observe(_ context.Context, event onlyonce.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()

	if event.Kind == onlyonce.EventCall {
		e.events = append(e.events, event)
	}
}

// last is the end of the last call, the n-th.
func (e *ends) last(t *testing.T, n int) onlyonce.Event {
	t.Helper()

	e.mu.Lock()
	defer e.mu.Unlock()

	if len(e.events) != n {
		t.Fatalf("%d calls were observed, want %d: %+v", len(e.events), n, e.events)
	}

	return e.events[n-1]
}

func required() []interceptor.ServerOption {
	return keyPolicy(interceptor.Policy{Key: interceptor.KeyRequired})
}

func TestObserverSeesTheCallsThatNeverReachTheEngine(t *testing.T) {
	strict := onlyonce.StrictKeys()

	for name, test := range map[string]struct {
		setup  setup
		keys   []string
		reason onlyonce.Reason
		key    string
		cause  string
	}{
		"no scope": {setup{scope: noScope}, []string{"k"}, onlyonce.ReasonScopeMissing, "k", "token of Ann is stale"},
		"no scope, no key": {
			setup{scope: noScope, server: required()}, nil, onlyonce.ReasonScopeMissing, "", "stale",
		},
		"no scope, bad key": {setup{scope: noScope}, []string{"two words"}, onlyonce.ReasonScopeMissing, "", "stale"},
		"no scope, hidden keys": {
			setup{scope: noScope, engine: []onlyonce.Option{onlyonce.WithHiddenKeys()}}, []string{"k"}, onlyonce.ReasonScopeMissing, "", "stale",
		},
		"no key": {
			setup{server: required()}, nil, onlyonce.ReasonKeyMissing, "", "requires metadata",
		},
		"several keys": {setup{}, []string{"k", "l"}, onlyonce.ReasonKeyInvalid, "", "2 values"},
		"a bad key":    {setup{}, []string{"two words"}, onlyonce.ReasonKeyInvalid, "", "character ' ' at position 4"},
		"a key too short": {
			setup{server: keyPolicy(interceptor.Policy{KeyRules: &strict})}, []string{"k"}, onlyonce.ReasonKeyInvalid, "k", "10 to 64",
		},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &ends{}
			test.setup.engine = append(test.setup.engine, onlyonce.WithObserver(seen))
			w := start(t, test.setup, nil)

			w.call(withKey(t.Context(), test.keys...), payment()).mustHaveStatus(t, onlyonce.StatusRejected)

			got := seen.last(t, 1)
			if got.Method != unaryCall || got.Key != test.key || got.Status != onlyonce.StatusRejected || got.Reason != test.reason {
				t.Errorf("the observer saw %+v, want %s of key %q", got, test.reason, test.key)
			}

			if rejection, ok := errors.AsType[*onlyonce.Rejection](got.Err); !ok ||
				!strings.Contains(fmt.Sprint(rejection.Message, rejection.Cause), test.cause) {
				t.Errorf("the observer got %v, want the cause %q", got.Err, test.cause)
			}

			w.mustHaveRun(t, 0)
		})
	}
}

// direct is the interceptor of an engine, called without a server.
func direct(t *testing.T, seen onlyonce.Observer) grpc.UnaryServerInterceptor {
	t.Helper()

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(seen))
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	return protect.Unary
}

func TestObserverSeesRequestsThatHaveNoFingerprint(t *testing.T) {
	for name, test := range map[string]struct {
		req  any
		code codes.Code
		told string
	}{
		"a request that cannot be encoded": {
			&pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Message: "\xff"}}, codes.Internal, "fingerprint: encoding",
		},
		"a request that is no protobuf": {"text", codes.Unimplemented, "message of type string"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &ends{}

			_, err := direct(t, seen)(incoming(t.Context(), interceptor.KeyHeader, "key"), test.req,
				&grpc.UnaryServerInfo{FullMethod: unaryCall}, nil)
			if status.Code(err) != test.code || strings.Contains(err.Error(), "fingerprint:") {
				t.Errorf("got %v, want %v without internals", err, test.code)
			}

			got := seen.last(t, 1)
			if got.Status != onlyonce.StatusRejected || got.Key != "key" || !strings.Contains(withCause(got.Err), test.told) {
				t.Errorf("the observer saw %+v, want the cause %q", got, test.told)
			}
		})
	}
}

func TestF36_ObserverSeesThatAReplayCannotBeRead(t *testing.T) {
	seen := &ends{}
	w := start(t, setup{engine: []onlyonce.Option{onlyonce.WithObserver(seen)}}, failing(status.Error(codes.Internal, "oops")))
	w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnknown)
	resolve(t, w, onlyonce.Happened("OK", []byte("hello")))
	w.pay(t, "key").mustBe(t, recordUnreadable)

	// The engine has reported a replay. The interceptor's report, which comes last, has the caller's answer.
	got := seen.last(t, 3)
	if got.Status != onlyonce.StatusRejected || got.Reason != onlyonce.ReasonRecordUnreadable || got.Key != "key" ||
		errors.Unwrap(got.Err) == nil {
		t.Errorf("the observer saw %+v, want RECORD_UNREADABLE and its cause", got)
	}
}

func TestErrorsOfAReplayCheckBecomeWhatGRPCMakesOfThem(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want codes.Code
	}{
		"a status":                   {status.Error(codes.PermissionDenied, "no"), codes.PermissionDenied},
		"no status":                  {errors.New("no"), codes.Unknown},
		"a deadline of its own":      {context.DeadlineExceeded, codes.DeadlineExceeded},
		"another engine's rejection": {&onlyonce.Rejection{Reason: onlyonce.ReasonKeyReused, Message: "no"}, codes.Unknown},
		"one that wraps a rejection": {errors.Join(errLine, &onlyonce.Rejection{Reason: onlyonce.ReasonInProgress}), codes.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &ends{}
			w := start(t, setup{
				engine: []onlyonce.Option{onlyonce.WithObserver(seen)},
				server: []interceptor.ServerOption{interceptor.WithReplayCheck(func(context.Context, any) error { return test.err })},
			}, nil)

			w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusExecuted)

			a := w.pay(t, "key")
			a.mustHaveStatus(t, onlyonce.StatusRejected)

			if status.Code(a.err) != test.want || len(status.Convert(a.err).Details()) != 0 || len(a.trailer.Get(interceptor.PushbackTrailer)) != 0 {
				t.Errorf("got %v, want %v that does not speak of this call", a.err, test.want)
			}

			if got := seen.last(t, 2); got.Reason != "" || !errors.Is(got.Err, test.err) || got.Status != onlyonce.StatusRejected {
				t.Errorf("the observer saw %+v", got)
			}
		})
	}
}

// withCause returns the text of an error and of its cause, which a rejection hides from callers.
func withCause(err error) string {
	rejection, _ := errors.AsType[*onlyonce.Rejection](err)
	if rejection == nil {
		return fmt.Sprint(err)
	}

	return fmt.Sprint(err, rejection.Cause)
}
