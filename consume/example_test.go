package consume_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A queue delivers a message twice, and the handler runs once.
func ExampleHandler() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		fmt.Println(err)

		return
	}

	handle, err := consume.Handler(engine, "billing", consume.ByID, func(_ context.Context, m *consume.Message) error {
		if len(m.Data) == 0 {
			return onlyonce.Final(errors.New("the order is empty")) // no later delivery has other data
		}

		fmt.Printf("charging %s\n", m.Data)

		return nil
	})
	if err != nil {
		fmt.Println(err)

		return
	}

	for _, m := range []*consume.Message{
		{Source: "orders", ID: "order-7", Data: []byte("7 EUR"), Deliveries: 1},
		{Source: "orders", ID: "order-7", Data: []byte("7 EUR"), Deliveries: 2}, // the acknowledgement was lost
		{Source: "orders", ID: "order-8", Deliveries: 1},
		{Source: "orders", Data: []byte("9 EUR"), Deliveries: 1}, // without an id
	} {
		d := handle(context.Background(), m)
		fmt.Printf("%s: %v (%s, replayed %t)\n", m.ID, d.Action, d.Cause, d.Replayed)
	}
	// Output:
	// charging 7 EUR
	// order-7: ack (done, replayed false)
	// order-7: ack (done, replayed true)
	// order-8: dead letter (final, replayed false)
	// : dead letter (key, replayed false)
}

// A business key is a function of the message. Whoever sends the same order twice, with any id, gets it charged once.
func ExampleKeyFunc() {
	var byOrder consume.KeyFunc = func(m *consume.Message) (string, error) {
		return onlyonce.KeyFrom("order", m.Header("Order-Number"))
	}

	key, err := byOrder(&consume.Message{Headers: map[string][]string{"Order-Number": {"2026-7"}}})
	fmt.Println(key, err)

	_, err = byOrder(&consume.Message{})
	fmt.Println(err)
	// Output:
	// order-2026--2d7 <nil>
	// onlyonce: making a key of parts: part 2 of 2 is empty; give each part a value
}
