package fingerprint_test

import (
	"fmt"
	"log"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	"github.com/onlyonce-go/onlyonce/store"
)

// payment builds a request. Its fields are a map, whose order differs each time that it is encoded.
func payment(amount float64) proto.Message {
	request, err := structpb.NewStruct(map[string]any{"account": "alice", "amount": amount, "currency": "KRW"})
	if err != nil {
		log.Fatal(err)
	}

	return request
}

func digestOf(request proto.Message) store.Fingerprint {
	digest, err := fingerprint.Of(request)
	if err != nil {
		log.Fatal(err)
	}

	return digest
}

// A retry has the same fingerprint as the first attempt. Another request under the same key has another one, and is rejected.
func Example() {
	first := digestOf(payment(100))

	fmt.Println("the same payment again:", digestOf(payment(100)) == first)
	fmt.Println("another amount:", digestOf(payment(101)) == first)

	// A test can build a request repeatedly, as retries do.
	fmt.Println("stable:", fingerprint.Stable(func() proto.Message { return payment(100) }) == nil)

	// Output:
	// the same payment again: true
	// another amount: false
	// stable: true
}
