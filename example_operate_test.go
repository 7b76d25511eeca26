package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// An observer that reports calls whose outcome is unknown.
func ExampleWithObserver() {
	alarm := onlyonce.ObserverFunc(func(_ context.Context, event onlyonce.Event) {
		if event.Status == onlyonce.StatusUnknown || event.Reason == onlyonce.ReasonOutcomeUnknown {
			fmt.Println("unknown outcome:", event.Method, event.Key, event.Err)
		}
	})

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(alarm))
	if err != nil {
		fmt.Println(err)

		return
	}

	_, err = engine.Do(context.Background(), onlyonce.Call{Method: "pay", Key: "order-1"},
		func(context.Context) ([]byte, error) { return nil, errors.New("the bank did not answer") })
	fmt.Println(onlyonce.VerdictOf(err))
	// Output:
	// unknown outcome: pay order-1 the bank did not answer
	// unknown
}

// A server that stops: it rejects new calls, and waits for the calls that are under way.
func ExampleEngine_Drain() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // MaxRun, and a little more
	defer cancel()

	fmt.Println(engine.Drain(ctx))

	_, err = engine.Do(context.Background(), onlyonce.Call{Method: "pay", Key: "order-1"},
		func(context.Context) ([]byte, error) { return nil, nil })
	fmt.Println(errors.Is(err, onlyonce.ReasonStoreUnavailable))
	// Output:
	// <nil>
	// true
}

// A recovery function queries the bank about a payment whose outcome is unknown.
func ExampleRecoverFunc() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	statement := map[string]string{} // what the bank says it has done, by our keys

	pay := onlyonce.Call{
		Method: "pay", Key: "order-1",
		Recover: func(_ context.Context, record onlyonce.Record) (onlyonce.Finding, error) {
			receipt, found := statement[record.ReadableKey]
			if !found {
				return onlyonce.StillUnknown(), nil // still unknown: it may be on its way
			}

			return onlyonce.Happened("OK", []byte(receipt)), nil
		},
	}

	handler := func(context.Context) ([]byte, error) {
		statement["order-1"] = "receipt 17"

		return nil, errors.New("the line to the bank broke")
	}

	for range 2 {
		result, err := engine.Do(context.Background(), pay, handler)
		fmt.Println(result.Status, string(result.Body), err)
	}
	// Output:
	// unknown  the line to the bank broke
	// replayed receipt 17 <nil>
}
