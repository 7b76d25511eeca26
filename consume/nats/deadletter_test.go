package oncenats_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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
// Such headers are about the publishing of the message. The stream of dead letters would refuse them.
func TestADeadLetterHasNoHeadersForTheServer(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Minute)
	w.start(settings{Name: "billing", Guarantee: onlyonce.AtMostOnce}, refuse)

	if _, err := w.js.Publish(t.Context(), "orders.new", []byte("1"), jetstream.WithMsgID("expecting"), jetstream.WithExpectStream("orders"),
		jetstream.WithExpectLastSequence(0)); err != nil {
		t.Fatal(err)
	}

	w.settled()

	if letters := w.deadLetters(); len(letters) != 1 || letters[0].Headers().Get("Nats-Expected-Stream") != "" {
		t.Errorf("the dead letters are %v", letters)
	}
}

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

// fullDeadLetters makes the stream of dead letters refuse everything until empty is called. Refused gets the letters.
func (w *world) fullDeadLetters() (refused *nats.Subscription, empty func()) {
	w.t.Helper()

	stream, err := w.js.UpdateStream(w.t.Context(), jetstream.StreamConfig{
		Name: "dead", Subjects: []string{"dead.>"}, MaxMsgs: 1, Discard: jetstream.DiscardNew,
	})
	if err == nil {
		_, err = w.js.Publish(w.t.Context(), "dead.other", nil)
	}

	if err == nil {
		refused, err = w.js.Conn().SubscribeSync("dead.orders")
	}

	if err != nil {
		w.t.Fatal(err)
	}

	return refused, func() {
		if err := stream.Purge(w.t.Context()); err != nil {
			w.t.Error(err)
		}
	}
}

// poison is a handler that fails for the message 1, and counts that.
func poison(runs *atomic.Int64) func(context.Context, *consume.Message) error {
	return func(_ context.Context, m *consume.Message) error {
		if m.ID != "1" {
			return nil
		}

		runs.Add(1)

		return errors.New("no account")
	}
}

// next waits for letters.
func next(t *testing.T, letters *nats.Subscription, n int) {
	t.Helper()

	for range n {
		if _, err := letters.NextMsg(2 * time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}

func TestF55AMessageWhoseDeadLetterIsRefusedDoesNotRunAgainAndHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	pull := w.pull("billing", time.Hour)

	refused, empty := w.fullDeadLetters()

	var runs atomic.Int64

	w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, poison(&runs), consume.WithPolicy(onlyonce.Policy{MaxAttempts: 2}))
	w.publish(1)
	next(t, refused, 1)
	w.publish(3) // the consumer has one worker
	w.until("the others are handled", func() bool {
		info, err := pull.Info(t.Context())

		return err == nil && info.NumPending == 0 && info.NumAckPending == 1
	})
	next(t, refused, 3)
	empty()
	w.settled()

	if got := runs.Load(); got != 2 {
		t.Errorf("the handler has run %d times, want MaxAttempts", got)
	}

	if n := len(w.deadLetters()); n != 1 {
		t.Errorf("there are %d dead letters", n)
	}
}

func TestAConsumerThatStopsGivesTheMessageOfARefusedDeadLetterBack(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Hour)

	refused, empty := w.fullDeadLetters()

	var runs atomic.Int64

	stop := w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, poison(&runs),
		consume.WithPolicy(onlyonce.Policy{MaxAttempts: 1}))
	w.publish(1)
	next(t, refused, 1)
	stop()
	empty()
	w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, poison(&runs), consume.WithPolicy(onlyonce.Policy{MaxAttempts: 1}))
	w.settled() // long before AckWait

	if n := len(w.deadLetters()); n != 1 {
		t.Errorf("there are %d dead letters", n)
	}
}
