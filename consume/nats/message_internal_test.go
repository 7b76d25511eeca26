package oncenats

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAMessageIsExtendedWithinTheShortestTimeOfItsConsumer(t *testing.T) {
	for _, test := range []struct {
		config jetstream.ConsumerConfig
		want   time.Duration
	}{
		{jetstream.ConsumerConfig{AckWait: 30 * time.Second}, 10 * time.Second},
		{jetstream.ConsumerConfig{AckWait: 30 * time.Second, BackOff: []time.Duration{3 * time.Second, time.Minute}}, time.Second},
		{jetstream.ConsumerConfig{AckWait: 1}, time.Millisecond},
	} {
		if got := extendEvery(&test.config); got != test.want {
			t.Errorf("%v and %v: every %v, want %v", test.config.AckWait, test.config.BackOff, got, test.want)
		}
	}
}
