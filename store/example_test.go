package store_test

import (
	"context"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A run claims its key and records its outcome. A duplicate finds the outcome and must not run.
func Example() {
	ctx := context.Background()
	records := memstore.New()
	key := store.Key{1} // the engine computes it from scope, method and idempotency key

	claim := func(token store.Token) store.Result {
		res, err := records.Claim(ctx, store.Claim{
			Key: key, Token: token, Guarantee: store.AtMostOnce,
			Lease: 15 * time.Second, MaxRun: 5 * time.Minute, Retention: 24 * time.Hour,
		})
		fmt.Println("claim:", res.Applied, res.Record.State, err)

		return res
	}

	owner := claim(store.Token{1})
	claim(store.Token{2}) // a duplicate, while the owner runs

	res, err := records.Complete(ctx, store.Completion{
		Key: key, Token: owner.Record.Token, Outcome: []byte("paid"), Receipt: owner.Receipt,
	})
	fmt.Println("complete:", res.Applied, err)

	duplicate := claim(store.Token{3})
	fmt.Printf("outcome: %s\n", duplicate.Record.Outcome)
	// Output:
	// claim: true RUNNING <nil>
	// claim: false RUNNING <nil>
	// complete: true <nil>
	// claim: false COMPLETED <nil>
	// outcome: paid
}
