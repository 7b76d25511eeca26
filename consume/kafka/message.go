package oncekafka

import (
	"fmt"
	"slices"

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

// letters are the dead letters of a record, with fewer and fewer headers. The last one is not larger than the record. They have the key, so
// that the dead letters of a key keep their order.
func letters(topic string, r *kgo.Record, m *consume.Message, decision consume.Decision) []*kgo.Record {
	own := decision.DeadLetterHeaders(m)

	// A dead letter that was sent again has those of its first death.
	whole := slices.DeleteFunc(slices.Clone(r.Headers), func(h kgo.RecordHeader) bool {
		_, replaced := own[h.Key]

		return replaced || h.Key == consume.HeaderError
	})
	short := slices.Clone(whole)

	for name, value := range own {
		header := kgo.RecordHeader{Key: name, Value: []byte(value)}
		whole = append(whole, header)

		if name != consume.HeaderError {
			short = append(short, header)
		}
	}

	letter := func(headers []kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: headers}
	}

	return []*kgo.Record{letter(whole), letter(short), letter(slices.Clone(r.Headers))}
}
