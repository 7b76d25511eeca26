package oncenats_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
)

func TestTheServerConfirmsWhatRemovesAMessage(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Minute)

	acks, err := w.js.Conn().SubscribeSync("$JS.ACK.>")
	if err != nil {
		t.Fatal(err)
	}

	w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, func(ctx context.Context, m *consume.Message) error {
		if m.ID == "2" {
			return refuse(ctx, m)
		}

		return nil
	})
	w.publish(2)
	w.settled()

	for _, want := range []string{"+ACK", "+TERM final"} {
		ack, err := acks.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}

		if string(ack.Data) != want || !strings.HasPrefix(ack.Reply, "_INBOX.") {
			t.Errorf("the server gets %q and replies to %q, want %q with a reply", ack.Data, ack.Reply, want)
		}
	}
}

// Its ctx ends while a message is being handled. The message comes to its end, and is acknowledged.
func TestAConsumerThatStopsAcknowledgesWhatItHandles(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Hour)

	handling, goOn := make(chan struct{}), make(chan struct{})

	stop := w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, func(ctx context.Context, _ *consume.Message) error {
		close(handling)
		<-goOn

		return ctx.Err()
	})

	w.publish(1)
	<-handling

	time.AfterFunc(50*time.Millisecond, func() { close(goOn) }) // stop ends ctx first, and waits

	stop()
	w.settled()
}
