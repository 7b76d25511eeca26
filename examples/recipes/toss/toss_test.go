package toss_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/toss"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake behaves as Toss's documentation said on 2026-11-30: the first answer under a key is kept
// (https://docs.tosspayments.com/guides/using-api/idempotency-key), and a payment is found by its order.
type fake struct {
	mu        sync.Mutex
	loseNext  bool // the next confirmation happens, and its answer is lost
	failFirst bool // the next request is lost before it is confirmed
	status    string
	confirmed int
	keys      map[string]bool // of confirmations
	sent      map[string]bool // of all requests
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if secret, _, _ := r.BasicAuth(); secret != "test_sk" {
		w.WriteHeader(http.StatusUnauthorized)

		return
	}

	if r.Method == http.MethodPost {
		f.sent[r.Header.Get("Idempotency-Key")] = true

		if f.failFirst {
			f.failFirst = false

			panic(http.ErrAbortHandler)
		}

		if key := r.Header.Get("Idempotency-Key"); !f.keys[key] {
			f.keys[key] = true
			f.confirmed++
			f.status = "DONE"
		}

		if f.loseNext {
			f.loseNext = false

			panic(http.ErrAbortHandler)
		}
	} else if !strings.HasSuffix(r.URL.Path, "/v1/payments/orders/order-7") || r.ContentLength != 0 {
		w.WriteHeader(http.StatusNotFound)
	}

	if err := json.NewEncoder(w).Encode(map[string]any{"paymentKey": "tviva1", "orderId": "order-7", "status": f.status}); err != nil {
		panic(err)
	}
}

// pay returns a function that pays for an order, as a client does that tries again.
func pay(t *testing.T, fake *fake, guarantee onlyonce.Guarantee) func() (onlyonce.Result, error) {
	t.Helper()

	fake.keys, fake.sent, fake.status = make(map[string]bool), make(map[string]bool), "IN_PROGRESS"

	server := httptest.NewUnstartedServer(fake)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)

	client := &toss.Toss{HTTP: server.Client(), URL: server.URL, Secret: "test_sk"}

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: guarantee}), onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	return func() (onlyonce.Result, error) {
		return engine.Do(t.Context(), onlyonce.Call{Method: "confirm", Key: "order-7", Recover: client.Recover},
			func(ctx context.Context) ([]byte, error) {
				payment, err := client.Confirm(ctx, "tviva1", "order-7", 1000)

				return []byte(payment.Key), err
			})
	}
}

func TestLostAnswerIsFoundByTheOrderAndConfirmedOnce(t *testing.T) {
	fake := &fake{loseNext: true}
	pay := pay(t, fake, onlyonce.AtMostOnce)

	if _, err := pay(); err == nil {
		t.Fatal("the answer is not lost")
	}

	if result, err := pay(); err != nil || result.Status != onlyonce.StatusReplayed || string(result.Body) != "tviva1" || fake.confirmed != 1 {
		t.Errorf("%s %q %v, confirmed %d times", result.Status, result.Body, err, fake.confirmed)
	}
}

func TestLostRequestStaysUnknownWhileThePaymentCanBeConfirmed(t *testing.T) {
	fake := &fake{failFirst: true}
	pay := pay(t, fake, onlyonce.AtMostOnce)

	if _, err := pay(); err == nil {
		t.Fatal("the request is not lost")
	}

	if _, err := pay(); !errors.Is(err, onlyonce.ReasonOutcomeUnknown) || fake.confirmed != 0 {
		t.Errorf("%v, confirmed %d times", err, fake.confirmed)
	}
}

func TestRepeatedRunSendsTheSameKey(t *testing.T) {
	fake := &fake{failFirst: true}
	pay := pay(t, fake, onlyonce.AtLeastOnce)

	if _, err := pay(); err == nil {
		t.Fatal("the request is not lost")
	}

	for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		if result, err := pay(); err != nil || result.Status != want || fake.confirmed != 1 || len(fake.sent) != 1 {
			t.Errorf("%s %v, confirmed %d times with %d keys", result.Status, err, fake.confirmed, len(fake.sent))
		}
	}
}

func TestStatusOfAPaymentDecidesWhetherItHappened(t *testing.T) {
	for status, want := range map[string]onlyonce.Finding{
		"DONE": onlyonce.Happened("OK", nil), "EXPIRED": onlyonce.DidNotHappen(), "ABORTED": onlyonce.DidNotHappen(),
		"IN_PROGRESS": onlyonce.StillUnknown(), "READY": onlyonce.StillUnknown(), "": onlyonce.StillUnknown(),
		"CANCELED": onlyonce.StillUnknown(), // it happened, and was taken back: a person decides what the caller gets
	} {
		if got := toss.Judge("tviva1", status); got.String() != want.String() {
			t.Errorf("%q: %s, want %s", status, got, want)
		}
	}
}
