package memstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A store that is full refuses new keys, and serves the old ones.
func ExampleNew() {
	engine, err := onlyonce.New(memstore.New(memstore.WithMaxRecords(1), memstore.WithMaxBytes(1<<20)))
	if err != nil {
		fmt.Println(err)

		return
	}

	for _, key := range []string{"k-1", "k-2", "k-1"} {
		result, err := engine.Do(context.Background(), onlyonce.Call{Method: "greet", Key: key},
			func(context.Context) ([]byte, error) { return []byte("hello"), nil })
		fmt.Println(key, result.Status, errors.Is(err, onlyonce.ReasonStoreFull))
	}
	// Output:
	// k-1 executed false
	// k-2 rejected true
	// k-1 replayed false
}
