package redisstore

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// countedRecord is the completed record that the owner of the golden running record writes. It changes with the version of the stored
// form alone.
const countedRecord = "01322a30ea" + "5f45" + "0412" + "01020300000000000000000000000000" + "00000001" + "00000001" +
	"01a3185c5000" + "0000240c8400" + "01a3185c57d0" +
	"00010405000000000000000000000000000000000000000000000000000000000000001600072f73686f702e76312e" +
	"4f72646572732f4372656174656f726465722d37" + "70616964"

func TestTheFormOfACompletionWithAReceiptDoesNotChange(t *testing.T) {
	t.Parallel()

	const start = 1_800_000_000_000

	running := seedRecord(t, store.Running, "")
	sent := time.Now()
	own := &receipt{
		name: fuzzedName, record: running, expires: start + int64(span(DefaultUnknownRetention)), decided: start, sent: sent,
	}
	op := &store.Completion{Token: store.Token{1, 2, 3}, Outcome: []byte("paid")}

	record, head, life, ok := own.completed(op, sent.Add(2*time.Second))
	if !ok || life != span(week) {
		t.Fatalf("it lives for %d ms; it can be written: %t", life, ok)
	}

	if got := hex.EncodeToString(record); got != countedRecord {
		t.Errorf("it is\n%s, want\n%s", got, countedRecord)
	}

	if string(record[head:]) != "paid" {
		t.Errorf("its outcome is %q", record[head:])
	}

	const end = start + 1999

	var rec store.Record
	if err := decodeRecord(&rec, fuzzedName, string(record), end+week.Milliseconds()); err != nil {
		t.Fatal(err)
	}

	if rec.FirstStart.UnixMilli() != start || rec.LastStart.UnixMilli() != start || rec.EndedAt.UnixMilli() != end || rec.Retention != week {
		t.Errorf("it is read as %+v", rec)
	}

	// Somebody has taken its expiry away.
	if err := decodeRecord(&rec, fuzzedName, string(record), 0); err != nil || !rec.EndedAt.IsZero() || rec.Retention != week {
		t.Errorf("without an expiry it is read as %+v, %v", rec, err)
	}

	// A build that does not know the form takes these for its retention and its end.
	if kept, ended := uint48At(string(record), timesStart+timeSize), uint48At(string(record), timesStart+2*timeSize); kept != week.Milliseconds() ||
		ended != start+2000 {
		t.Errorf("it holds a retention of %d and an end of %d", kept, ended)
	}
}
