package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A method in shadow mode: its calls run as without the kit, and the report shows what real mode would have done.
func ExampleShadowReport() {
	report := new(onlyonce.ShadowReport)

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(report),
		onlyonce.WithPolicy(onlyonce.Policy{Shadow: onlyonce.ShadowOn}))
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	call := func(key, request string, handler func(context.Context) ([]byte, error)) {
		_, _ = engine.Do(ctx, onlyonce.Call{Method: "/bank.Payments/Pay", Key: key, Request: []byte(request)}, handler)
	}

	payments := 0
	pay := func(context.Context) ([]byte, error) {
		payments++

		return fmt.Appendf(nil, "payment %d", payments), nil
	}
	timeout := func(context.Context) ([]byte, error) { return nil, errors.New("the bank does not answer") }

	call("order-1", "10 EUR", pay)
	call("order-2", "20 EUR", timeout)

	if err := engine.Drain(ctx); err != nil { // so that the report has all calls
		log.Fatal(err)
	}

	fmt.Print(report)
	// Output:
	// METHOD              CALLS  WITH KEY  REPLAYED  DIFFERED  WAITED  UNKNOWN  REFUSED  AMBIGUOUS ERRORS
	// /bank.Payments/Pay  2      2         0         0         0       0        -        ERROR 1 (50.0%)
}
