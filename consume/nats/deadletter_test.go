package oncenats_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
)

// refuse is a handler that refuses every message.
func refuse(context.Context, *consume.Message) error {
	return onlyonce.Final(errors.New("refused " + strings.Repeat("x", 2000)))
}

// The message is as large as the server allows, so its dead letter has no room for all headers.
func TestTheDeadLetterOfTheLargestMessageIsStored(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Minute)
	w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, refuse)

	const room = 100 // of the headers

	data := bytes.Repeat([]byte("x"), int(w.js.Conn().MaxPayload())-room)
	if _, err := w.js.Publish(t.Context(), "orders.large", data, jetstream.WithMsgID("large")); err != nil {
		t.Fatal(err)
	}

	w.settled()

	letters := w.deadLetters()
	if len(letters) != 1 || !bytes.Equal(letters[0].Data(), data) {
		t.Errorf("there are %d dead letters", len(letters))
	}
}

// A stream that was made again has other messages at the same places. JetStream must not take their dead letters for those that it has.
func TestADeadLetterOfAStreamThatWasMadeAgainIsStored(t *testing.T) {
	w := newWorld(t)

	for _, id := range []string{"first", "second"} {
		w.pull("billing", time.Minute)
		stop := w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, refuse)

		if _, err := w.js.Publish(t.Context(), "orders.1", []byte(id), jetstream.WithMsgID(id)); err != nil {
			t.Fatal(err)
		}

		w.settled()
		stop()

		stream, err := w.js.Stream(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}

		if err := w.js.DeleteStream(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}

		if _, err := w.js.CreateStream(t.Context(), stream.CachedInfo().Config); err != nil {
			t.Fatal(err)
		}
	}

	if n := len(w.deadLetters()); n != 2 {
		t.Errorf("there are %d dead letters, want those of both messages", n)
	}
}

func TestNewRefusesAPlaceThatLosesDeadLetters(t *testing.T) {
	w := newWorld(t)
	pull := w.pull("billing", time.Minute)

	for _, config := range []jetstream.StreamConfig{
		{Name: "interest", Subjects: []string{"interest"}, Retention: jetstream.InterestPolicy},
		{Name: "silent", Subjects: []string{"silent"}, NoAck: true},
	} {
		if _, err := w.js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}

	handle := func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} }

	for subject, want := range map[string]string{
		"interest": "InterestPolicy", "silent": "NoAck", "dead.>": "wildcard", "dead.*": "wildcard", "": "dead-letter subject",
	} {
		if _, err := oncenats.New(t.Context(), w.js, pull, handle, subject); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error about %q is %v, want one about %q", subject, err, want)
		}
	}
}
