package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// duplicateWhileRunning makes a call on one server, and its duplicate on another while the first one runs.
func duplicateWhileRunning(t *testing.T, w, other *world) answer {
	t.Helper()

	w.handle = after(20*time.Second, answering("late"))
	first := w.payInBackground(t)

	synctest.Wait()

	duplicate := other.pay(t, "key")
	(<-first).mustAnswer(t, "late")

	return duplicate
}

func TestDuplicateOnAnotherReplicaGetsARetryableError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		here := start(t, setup{store: shared}, nil)
		there := start(t, setup{store: shared}, nil)

		duplicateWhileRunning(t, here, there).mustBe(t, inProgress)
		there.mustHaveRun(t, 0)
	})
}

func TestOutcomeUnknownHasTheOriginalCodeAndItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, failing(status.Error(codes.Aborted, "oops")))
		w.pay(t, "key").mustHaveStatus(t, "unknown")

		since := time.Now().UTC().Format(time.RFC3339)

		time.Sleep(time.Hour)

		a := w.pay(t, "key")
		info := a.mustBe(t, outcomeUnknown)

		if got := info.GetMetadata(); got["original_code"] != "ABORTED" || got["since"] != since {
			t.Errorf("metadata %v, want ABORTED since %s", got, since)
		}

		if text := status.Convert(a.err).Message(); !strings.HasSuffix(text, "do not use another key") {
			t.Errorf("the message does not end with the warning: %q", text)
		}
	})
}

func TestOutcomeUnknownAfterALostOwnerHasNoCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{store: newFaultStore().readOnly()}, nil)
		w.pay(t, "key").mustHaveStatus(t, "unrecorded")

		time.Sleep(time.Minute)

		if got := w.pay(t, "key").mustBe(t, outcomeUnknown).GetMetadata(); got["since"] == "" || got["original_code"] != "" {
			t.Errorf("metadata %v, want since alone", got)
		}
	})
}

func TestOutcomeNotStoredHasTheOriginalCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{server: policy(onlyonce.Policy{MaxOutcome: 5})}, failing(status.Error(codes.NotFound, "nobody")))
		w.pay(t, "key").mustFail(t, codes.NotFound, "nobody")

		if got := w.pay(t, "key").mustBe(t, outcomeNotStored).GetMetadata()["original_code"]; got != "NOT_FOUND" {
			t.Errorf("original_code is %q, want NOT_FOUND", got)
		}
	})
}

func TestDelaysAreSpread(t *testing.T) {
	w := start(t, setup{store: newFaultStore().refusing(store.ErrNewer)}, nil)
	seen := make(map[string]bool)

	for range 20 {
		seen[w.pay(t, "key").trailer.Get("grpc-retry-pushback-ms")[0]] = true
	}

	if len(seen) < 10 {
		t.Errorf("20 rejections asked for %d different delays, so their callers come back together", len(seen))
	}
}

// F87: a handler may pass on, or print, the rejection of another engine. Its text has nothing of the store's own error.
func TestF87_TextOfARejectionHasNothingOfTheErrorOfTheStore(t *testing.T) {
	other, err := onlyonce.New(newFaultStore().down())
	if err != nil {
		t.Fatal(err)
	}

	w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_, err := other.Do(ctx, onlyonce.Call{Method: "/other", Key: "key"}, func(context.Context) ([]byte, error) { return nil, nil })
		if rejection, ok := errors.AsType[*onlyonce.Rejection](err); !ok || !strings.Contains(rejection.Cause.Error(), "hunter2") {
			t.Errorf("the handler got %v, want a rejection with its cause", err)
		}

		return nil, fmt.Errorf("booking: %w", err)
	})

	a := w.pay(t, "key")
	if message := status.Convert(a.err).Message(); strings.Contains(message, "hunter2") || !strings.Contains(message, "STORE_UNAVAILABLE") {
		t.Errorf("the caller got %q", message)
	}
}
