package oncekafka

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onlyonce-go/onlyonce/consume"
)

func TestADeadLetterThatDiesAgainHasTheHeadersOfItsLastDeath(t *testing.T) {
	t.Parallel()

	m := &consume.Message{Source: "orders", Position: "orders/0/1"}
	record := &kgo.Record{Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("t")}}}

	first := letters("dead", record, m, consume.Decision{Cause: consume.CausePoison, Err: errors.New("first")})[0]
	again := letters("dead", first, m, consume.Decision{Cause: consume.CauseFinal, Err: errors.New("last")})

	if whole := again[0].Headers; len(whole) != len(first.Headers) || headers(whole)[consume.HeaderCause][0] != "final" ||
		headers(whole)[consume.HeaderError][0] != "last" || headers(whole)["trace"][0] != "t" {
		t.Errorf("the headers are %q", headers(whole))
	}

	if short := headers(again[1].Headers); short[consume.HeaderError] != nil || short[consume.HeaderCause][0] != "final" {
		t.Errorf("without the error, the headers are %q", short)
	}
}
