package redisstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// A retry gets the recorded outcome, in every process that uses the same Redis.
func Example() {
	url, stop := exampleServer() // such as "redis://user:password@localhost:6379/0"
	defer stop()

	records, err := redisstore.Open(url)
	if err != nil {
		log.Panic(err)
	}
	defer records.Close()

	engine, err := onlyonce.New(records)
	if err != nil {
		log.Panic(err)
	}

	pay := func(context.Context) ([]byte, error) { return []byte("paid"), nil }

	for range 2 {
		result, err := engine.Do(context.Background(), onlyonce.Call{Method: "pay", Key: "order-4711"}, pay)
		fmt.Println(result.Status, string(result.Body), err)
	}
	// Output:
	// executed paid <nil>
	// replayed paid <nil>
}
