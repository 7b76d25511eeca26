package oncerabbit_test //nolint:testableexamples // it needs a server, and does not end

import (
	"context"
	"log"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A consumer of the quorum queue orders. Dead letters go to the queue orders.dead.
func Example() {
	engine, err := onlyonce.New(memstore.New()) // several processes share a store on Redis or SQL
	if err != nil {
		log.Fatal(err)
	}

	handle, err := consume.Handler(engine, "billing", consume.ByID, func(ctx context.Context, m *consume.Message) error {
		return charge(ctx, m.Data)
	})
	if err != nil {
		log.Fatal(err)
	}

	consumer, err := oncerabbit.New("orders", handle, oncerabbit.ByPublishing("", "orders.dead"))
	if err != nil {
		log.Fatal(err)
	}

	err = consumer.Run(context.Background(), func(context.Context) (*amqp.Connection, error) {
		return amqp.Dial("amqp://localhost")
	})
	log.Print(err)
}

func charge(context.Context, []byte) error { return nil }
