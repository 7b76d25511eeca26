package oncerabbit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce/consume"
)

func TestTheNumberOfDeliveriesIsTheServersAndUnknownWithoutIt(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		d    amqp.Delivery
		want int
	}{
		"first":                     {amqp.Delivery{}, 1},
		"second of a classic queue": {amqp.Delivery{Redelivered: true}, 0},
		"third of a quorum queue":   {amqp.Delivery{Redelivered: true, Headers: amqp.Table{headerDeliveries: int64(2)}}, 3},
		// From 4.3 on, a message that was given back has not failed.
		"fifth from 4.3 on": {amqp.Delivery{Redelivered: true, Headers: amqp.Table{headerDeliveries: int64(1), headerAcquired: int64(4)}}, 5},
		"nonsense":          {amqp.Delivery{Redelivered: true, Headers: amqp.Table{headerDeliveries: "2"}}, 0},
		"unsigned":          {amqp.Delivery{Headers: amqp.Table{headerDeliveries: uint32(3)}}, 4},
		"beyond an int32":   {amqp.Delivery{Headers: amqp.Table{headerDeliveries: int64(1 << 40)}}, maxCount + 1},
		"below zero":        {amqp.Delivery{Headers: amqp.Table{headerDeliveries: int32(-5)}}, 1},
	} {
		if got := deliveries(&tt.d); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestHeadersThatHaveATextAreKept(t *testing.T) {
	t.Parallel()

	got := headers(amqp.Table{
		"text": "a", "bytes": []byte("b"), "true": true, "short": int16(3), "byte": uint8(4), "tiny": int8(5), "int": 6, "float": 1.5,
		"negative": int32(-8), "large": int64(5_000_000_000), "larger": uint32(4_000_000_000), "port": uint16(60_000),
		"table": amqp.Table{}, "list": []any{}, "nil": nil, "time": time.Time{},
	})
	want := map[string][]string{
		"text": {"a"}, "bytes": {"b"}, "true": {"true"}, "short": {"3"}, "byte": {"4"}, "tiny": {"5"}, "int": {"6"}, "float": {"1.5"},
		"negative": {"-8"}, "large": {"5000000000"}, "larger": {"4000000000"}, "port": {"60000"},
	}

	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v", got)
	}
}

func TestAMessageIsHeldForItsDelayButNotUntilTheServerTakesTheConsumerForStuck(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ delay, elapsed, want time.Duration }{
		{0, 0, 0},
		{time.Second, 0, time.Second},
		{time.Second, 5 * time.Minute, time.Second},
		{time.Minute, 8*time.Minute + 30*time.Second, 30 * time.Second},
		{time.Hour, 0, 9 * time.Minute},
		{time.Second, time.Hour, 0},
	} {
		if got := holding(tt.delay, 10*time.Minute, tt.elapsed); got != tt.want {
			t.Errorf("a delay of %v after %v: %v, want %v", tt.delay, tt.elapsed, got, tt.want)
		}
	}
}

func TestAConsumerThatCannotWorkIsNotMade(t *testing.T) {
	t.Parallel()

	_, err := New("", nil, nil, WithPrefetch(0), WithConsumerTimeout(time.Second))
	for _, want := range []string{"queue", "handler", "dead letters", "WithPrefetch", "WithConsumerTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestDeadLettersThatComeBackToTheirQueueAreRefused(t *testing.T) {
	t.Parallel()

	handle := func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} }

	for name, tt := range map[string]struct {
		dead    DeadLetters
		refused bool
	}{
		"the same queue":    {ByPublishing("", "orders"), true},
		"another queue":     {ByPublishing("", "orders.dead"), false},
		"an exchange":       {ByPublishing("dead", "orders"), false},
		"what is set there": {ByReject(), false},
	} {
		if _, err := New("orders", handle, tt.dead); (err != nil) != tt.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheBackoffGrowsUpToItsLongestWait(t *testing.T) {
	t.Parallel()

	for failures, most := range map[int]time.Duration{1: firstWait, 3: 4 * firstWait, 100: longestWait} {
		for range 100 {
			if d := backoff(failures); d < most/2 || d > most+most/2 {
				t.Errorf("%d failures: %v", failures, d)
			}
		}
	}
}

func TestADeadLetterThatDiesAgainHasTheHeadersOfItsLastDeath(t *testing.T) {
	t.Parallel()

	d := &amqp.Delivery{Headers: amqp.Table{consume.HeaderCause: "poison", consume.HeaderError: "first", "trace": "t"}}
	again := letters(d, &consume.Message{}, consume.Decision{Cause: consume.CauseFinal, Err: errors.New("last")})

	whole, short := again[0].Headers, again[1].Headers
	if whole[consume.HeaderCause] != "final" || whole[consume.HeaderError] != "last" || whole["trace"] != "t" {
		t.Errorf("the headers are %v", whole)
	}

	if short[consume.HeaderError] != nil || short[consume.HeaderCause] != "final" {
		t.Errorf("without the error, the headers are %v", short)
	}
}

// A server that takes a priority of a stream's consumer refuses what is given back.
func TestAStreamIsKnownByWhatItRefuses(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		failure amqp.Error
		stream  bool
	}{
		{amqp.Error{Code: amqp.PreconditionFailed, Reason: "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'orders'"}, true},
		{amqp.Error{Code: amqp.NotImplemented, Reason: "NOT_IMPLEMENTED - basic.nack not supported by stream queues"}, true},
		{amqp.Error{Code: amqp.PreconditionFailed, Reason: "PRECONDITION_FAILED - delivery acknowledgement timed out"}, false},
		{amqp.Error{Code: amqp.NotFound, Reason: "NOT_FOUND - no queue 'x-priority'"}, false},
	} {
		if got := isStream(fmt.Errorf("consuming: %w", &tt.failure)); got != tt.stream {
			t.Errorf("%s: a stream: %v", tt.failure.Reason, got)
		}
	}
}
