package oncekafka_test //nolint:testableexamples // it needs a server, and does not end

import (
	"context"
	"log"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncekafka "github.com/onlyonce-go/onlyonce/consume/kafka"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A member of the group billing. Its messages are identified by a header of their producer.
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

	consumer, err := oncekafka.New(handle, "orders.dead", []kgo.Opt{
		kgo.SeedBrokers("localhost:9092"), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"),
	}, oncekafka.WithIDHeader("message-id"))
	if err != nil {
		log.Fatal(err)
	}

	log.Print(consumer.Run(context.Background()))
}

func charge(context.Context, []byte) error { return nil }
