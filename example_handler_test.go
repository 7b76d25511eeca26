package onlyonce_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A handler that knows that nothing has happened releases the key. Without the mark, the outcome would be unknown.
func ExampleNotExecuted() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	tries := 0
	pay := func(context.Context) ([]byte, error) {
		tries++

		if tries == 1 {
			return nil, onlyonce.NotExecuted(errors.New("no connection to the bank"))
		}

		return []byte("paid"), nil
	}

	for range 3 {
		result, err := engine.Do(context.Background(), onlyonce.Call{Method: "pay", Key: "order-1"}, pay)
		fmt.Println(result.Status, string(result.Body), err)
	}
	// Output:
	// released  no connection to the bank
	// executed paid <nil>
	// replayed paid <nil>
}

// A handler marks an error that is the answer, so that the error is recorded.
func ExampleFinal() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	pay := func(context.Context) ([]byte, error) { return nil, onlyonce.Final(errors.New("the card is stolen")) }

	for range 2 {
		result, err := engine.Do(context.Background(), onlyonce.Call{Method: "pay", Key: "order-1"}, pay)
		fmt.Println(result.Status, err)
	}
	// Output:
	// executed the card is stolen
	// replayed the card is stolen
}

// The verdict decides what the caller of a failed call may do next.
func ExampleVerdictOf() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	broken := errors.New("the bank did not answer")

	for i, answer := range []error{nil, onlyonce.Final(broken), onlyonce.NotExecuted(broken), broken} {
		call := onlyonce.Call{Method: "pay", Key: fmt.Sprintf("order-%d", i)}
		_, err := engine.Do(context.Background(), call, func(context.Context) ([]byte, error) { return nil, answer })

		switch onlyonce.VerdictOf(err) {
		case onlyonce.VerdictFinal:
			fmt.Println("this is the answer; a new key is a new payment")
		case onlyonce.VerdictNotExecuted:
			fmt.Println("this call had no effect; try again with the same key")
		case onlyonce.VerdictUnknown:
			fmt.Println("it may have happened; find out, and never use another key")
		}
	}
	// Output:
	// this is the answer; a new key is a new payment
	// this is the answer; a new key is a new payment
	// this call had no effect; try again with the same key
	// it may have happened; find out, and never use another key
}
