package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The reply to a payment is lost, so the client sends the payment again. The key is the same, so nobody pays twice.
func Example() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	payments := 0
	pay := func(context.Context) ([]byte, error) {
		payments++

		return fmt.Appendf(nil, "payment %d", payments), nil
	}

	call := onlyonce.Call{Method: "pay", Key: "order-1", Request: []byte("10 EUR")}

	for range 2 {
		result, err := engine.Do(context.Background(), call, pay)
		fmt.Println(result.Status, string(result.Body), err)
	}

	call.Request = []byte("99 EUR") // another request under the same key

	_, err = engine.Do(context.Background(), call, pay)
	fmt.Println(errors.Is(err, onlyonce.ReasonKeyReused), payments)
	// Output:
	// executed payment 1 <nil>
	// replayed payment 1 <nil>
	// true 1
}

func ExampleNew() {
	engine, err := onlyonce.New(memstore.New(),
		onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxRun: 20 * time.Second}),
		onlyonce.WithObserver(onlyonce.SlogObserver(slog.Default())),
	)
	if err != nil {
		fmt.Println(err)

		return
	}

	fmt.Println(engine.Policy(onlyonce.Policy{}).Guarantee)

	// What cannot hold is an error here, and not at the first call.
	_, err = onlyonce.New(memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))
	fmt.Println(err)
	// Output:
	// AT_LEAST_ONCE
	// onlyonce: invalid policy: Guarantee is EXACTLY_ONCE, and this store has no transactions: use a store that has them, such as sqlstore
}

// An HTTP handler that honours the header Idempotency-Key.
func ExampleEngine_Do() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	payments := 0
	pay := func(_ context.Context, body []byte) ([]byte, error) {
		if string(body) == "0 EUR" {
			return nil, onlyonce.Final(errors.New("there is nothing to pay"))
		}

		payments++

		return fmt.Appendf(nil, "payment %d", payments), nil
	}

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)

			return
		}

		user, _, _ := r.BasicAuth() // checked by a middleware before
		result, err := engine.Do(r.Context(), onlyonce.Call{
			Scope:   user,
			Method:  "POST /payments",
			Key:     r.Header.Get("Idempotency-Key"),
			Request: body,
		}, func(ctx context.Context) ([]byte, error) { return pay(ctx, body) })

		w.Header().Set("Idempotency-Status", string(result.Status))

		if rejection, ok := errors.AsType[*onlyonce.Rejection](err); ok {
			if rejection.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(rejection.RetryAfter.Seconds())+1))
			}

			code, ok := map[onlyonce.Reason]int{
				onlyonce.ReasonKeyMissing:       http.StatusBadRequest,
				onlyonce.ReasonKeyInvalid:       http.StatusBadRequest,
				onlyonce.ReasonKeyReused:        http.StatusUnprocessableEntity,
				onlyonce.ReasonKeyExpired:       http.StatusUnprocessableEntity,
				onlyonce.ReasonStoreFull:        http.StatusTooManyRequests,
				onlyonce.ReasonStoreUnavailable: http.StatusServiceUnavailable,
			}[rejection.Reason]
			if !ok {
				code = http.StatusConflict
			}

			http.Error(w, rejection.Message, code)

			return
		}

		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)

			return
		}

		_, _ = w.Write(result.Body)
	}))
	defer server.Close()

	post := func(key, body string) {
		request, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL, strings.NewReader(body))
		request.SetBasicAuth("ann", "secret")
		request.Header.Set("Idempotency-Key", key)

		response, err := server.Client().Do(request)
		if err != nil {
			fmt.Println(err)

			return
		}
		defer response.Body.Close()

		answer, _ := io.ReadAll(response.Body)
		fmt.Println(response.StatusCode, response.Header.Get("Idempotency-Status")+":", strings.TrimSpace(string(answer)))
	}

	post("order-1", "10 EUR")
	post("order-1", "10 EUR")
	post("order-1", "99 EUR")
	post("order-2", "0 EUR")
	post("order-2", "0 EUR")
	post("", "10 EUR")
	// Output:
	// 200 executed: payment 1
	// 200 replayed: payment 1
	// 422 rejected: this idempotency key belongs to another request, which has been answered; use a new key only for a new operation
	// 422 executed: there is nothing to pay
	// 422 replayed: there is nothing to pay
	// 400 rejected: this call has no idempotency key; send one key per operation, the same on every retry
}

// A consumer of a queue that delivers at least once. The message's id is the key.
func ExampleEngine_Do_consumer() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	type message struct{ id, body string }

	online := false
	ship := func(_ context.Context, order string) error {
		if !online {
			return onlyonce.NotExecuted(errors.New("the warehouse is closed"))
		}

		fmt.Println("shipping", order)

		return nil
	}

	// consume reports whether the message is done with, and need not be delivered again.
	consume := func(ctx context.Context, m message) bool {
		result, err := engine.Do(ctx, onlyonce.Call{Method: "orders", Key: m.id, Request: []byte(m.body)},
			func(ctx context.Context) ([]byte, error) { return nil, ship(ctx, m.body) })

		fmt.Println(m.id, result.Status, err)

		return onlyonce.VerdictOf(err) == onlyonce.VerdictFinal
	}

	ctx := context.Background()

	fmt.Println(consume(ctx, message{"m-1", "a book"}))

	online = true

	fmt.Println(consume(ctx, message{"m-1", "a book"}))
	fmt.Println(consume(ctx, message{"m-1", "a book"}))
	// Output:
	// m-1 released the warehouse is closed
	// false
	// shipping a book
	// m-1 executed <nil>
	// true
	// m-1 replayed <nil>
	// true
}

// An operator has found a payment in the books, and settles the call whose outcome was unknown.
func ExampleEngine_Resolve() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	ctx := context.Background()
	call := onlyonce.Call{Method: "pay", Key: "order-1"}
	pay := func(context.Context) ([]byte, error) { return nil, errors.New("the bank did not answer") }

	_, err = engine.Do(ctx, call, pay)
	fmt.Println(err)

	_, err = engine.Do(ctx, call, pay)
	fmt.Println(errors.Is(err, onlyonce.ReasonOutcomeUnknown))

	id := onlyonce.Identity{Method: "pay", Key: "order-1"}

	record, err := engine.Lookup(ctx, id)
	if err != nil {
		fmt.Println(err)

		return
	}

	fmt.Println(record.State, record.Unknown)

	err = engine.Resolve(ctx, record, onlyonce.Happened("OK", []byte("paid on Monday")))
	if err != nil {
		fmt.Println(err)

		return
	}

	result, err := engine.Do(ctx, call, pay)
	fmt.Println(result.Status, string(result.Body), err)
	// Output:
	// the bank did not answer
	// true
	// UNKNOWN true
	// replayed paid on Monday <nil>
}

// A handler reads its fencing token, for a resource that refuses an overtaken run.
func ExampleRunFromContext() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	_, err = engine.Do(context.Background(), onlyonce.Call{Scope: "ann", Method: "pay", Key: "order-1"},
		func(ctx context.Context) ([]byte, error) {
			run, _ := onlyonce.RunFromContext(ctx)
			fmt.Println(run.Scope, run.Method, run.Key, run.Fence, run.Attempt, run.Guarantee)

			return nil, nil
		})
	fmt.Println(err)
	// Output:
	// ann pay order-1 1 1 AT_MOST_ONCE
	// <nil>
}
