package oncerabbit

import (
	"fmt"
	"reflect"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce/consume"
)

// The headers in which RabbitMQ counts. A message that is delivered for the first time has none of them.
const (
	// headerAcquired is how often the message was given to a consumer before: from 4.3 on.
	headerAcquired = "x-acquired-count"
	// headerDeliveries is how often a delivery has failed. Before 4.3, that is every delivery before this one.
	headerDeliveries = "x-delivery-count"
)

// message makes the message of a delivery.
func message(queue string, d *amqp.Delivery) *consume.Message {
	return &consume.Message{
		Source:     queue,
		ID:         d.MessageId,
		Data:       d.Body,
		Headers:    headers(d.Headers),
		Deliveries: deliveries(d),
	}
}

// deliveries returns how often a message was delivered, this time included. 0 means unknown.
func deliveries(d *amqp.Delivery) int {
	for _, name := range []string{headerAcquired, headerDeliveries} {
		if before, ok := number(d.Headers[name]); ok {
			return before + 1
		}
	}

	if d.Redelivered {
		return 0
	}

	return 1
}

// maxCount keeps a count within an int.
const maxCount = 1 << 30

// number returns a count of the server, from 0 to maxCount.
func number(value any) (int, bool) {
	switch v := reflect.ValueOf(value); {
	case v.CanInt():
		return int(min(max(v.Int(), 0), maxCount)), true
	case v.CanUint():
		return int(min(v.Uint(), maxCount)), true
	default:
		return 0, false
	}
}

// headers returns the headers that have a text: strings, integers, floating-point numbers and booleans. Decimals, times, tables and lists,
// such as those of RabbitMQ about dead letters, have none.
func headers(table amqp.Table) map[string][]string {
	if len(table) == 0 {
		return nil
	}

	texts := make(map[string][]string, len(table))

	for name, value := range table {
		if text, ok := text(value); ok {
			texts[name] = []string{text}
		}
	}

	return texts
}

// text returns the text of a value, exactly, because a KeyFunc may make a key of it.
func text(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case []byte:
		return string(value), true
	case bool, int8, int16, int32, int64, int, uint8, uint16, uint32, float32, float64:
		return fmt.Sprint(value), true
	default:
		return "", false
	}
}
