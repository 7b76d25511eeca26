package oncekafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onlyonce-go/onlyonce/consume"
)

// Position returns the position of a record: topic/partition/offset.
func Position(r *kgo.Record) string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

// message makes the message of a record.
func (c *Consumer) message(r *kgo.Record, deliveries int) *consume.Message {
	m := &consume.Message{
		Source:     r.Topic,
		Position:   Position(r),
		Key:        r.Key,
		Data:       r.Value,
		Headers:    headers(r.Headers),
		Deliveries: deliveries,
	}

	if c.idHeader != "" {
		m.ID = m.Header(c.idHeader)
	}

	return m
}

func headers(all []kgo.RecordHeader) map[string][]string {
	if len(all) == 0 {
		return nil
	}

	texts := make(map[string][]string, len(all))
	for _, h := range all {
		texts[h.Key] = append(texts[h.Key], string(h.Value))
	}

	return texts
}

// letter makes the dead letter of a record. It has the key, so that the dead letters of a key keep their order.
func letter(topic string, r *kgo.Record, m *consume.Message, decision consume.Decision) *kgo.Record {
	dead := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: append([]kgo.RecordHeader(nil), r.Headers...)}

	for name, value := range decision.DeadLetterHeaders(m) {
		dead.Headers = append(dead.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}

	return dead
}
