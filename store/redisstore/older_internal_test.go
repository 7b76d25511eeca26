package redisstore

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

// counted is the record of seedRecord, completed by an owner that has seen it expire 30 days after started.
func counted(tb testing.TB, started int64) (record string, head int) {
	tb.Helper()

	own := &receipt{
		name: fuzzedName, record: seedRecord(tb, store.Running, ""), expires: started + int64(span(DefaultUnknownRetention)),
		decided: started, sent: time.Now(),
	}
	op := &store.Completion{Token: store.Token{1, 2, 3}, Outcome: []byte("paid")}

	data, head, life, ok := own.completed(op, own.sent.Add(1500*time.Millisecond))
	if !ok || life != span(week) {
		tb.Fatalf("completed: %t, for %d ms", ok, life)
	}

	return string(data), head
}

func TestTheFormOfACompletionThatItsClientMakesDoesNotChange(t *testing.T) {
	t.Parallel()

	const golden = "01322a30ea" + "6baa" + "0412" + "0102030000000000000000000000000000000001000000010" + "18bcfe56800" +
		"0000240c8400" + "018bcfe56ddc" + "00010405000000000000000000000000000000000000000000000000000000000000001600072f73686f702e76312e" +
		"4f72646572732f4372656174656f726465722d37" + "70616964"

	record, head := counted(t, 1_700_000_000_000)
	if got := hex.EncodeToString([]byte(record)); got != golden {
		t.Errorf("it is\n%s, want\n%s", got, golden)
	}

	if record[head:] != "paid" {
		t.Errorf("the outcome is %q", record[head:])
	}
}

// olderRecord reads a record as builds do that do not know the form of counted.
func olderRecord(t *testing.T, name, data string, expires int64) store.Record {
	t.Helper()

	older := []byte(data)
	older[flagsStart] &^= flagCounted
	binary.BigEndian.PutUint16(older[checkStart:], uint16(checksum(name, string(older))))

	var rec store.Record
	if err := decodeRecord(&rec, name, string(older), expires); err != nil {
		t.Fatal(err)
	}

	return rec
}

func TestAnOlderBuildReadsTheEndOfACompletionAsItsClientHasMeasuredIt(t *testing.T) {
	t.Parallel()

	const started = 1_700_000_000_000

	record, _ := counted(t, started)
	ended := time.UnixMilli(started + 1503) // the server has decided 3 ms later
	expires := ended.Add(week).UnixMilli()

	var rec store.Record
	if err := decodeRecord(&rec, fuzzedName, record, expires); err != nil {
		t.Fatal(err)
	}

	if !rec.EndedAt.Equal(ended) || rec.Retention != week || !rec.FirstStart.Equal(time.UnixMilli(started)) ||
		rec.LastStart != rec.FirstStart {
		t.Errorf("this build reads %+v", rec)
	}

	older := olderRecord(t, fuzzedName, record, expires)
	if off := ended.Sub(older.EndedAt); off != 3*time.Millisecond || older.Retention-week != off || string(older.Outcome) != "paid" ||
		older.State != store.Completed || !older.FirstStart.Equal(rec.FirstStart) {
		t.Errorf("an older build reads %+v", older)
	}
}

// olderScript is an operation of an older build, in which scripts made completions.
func olderScript(t *testing.T, flags string, parts ...string) *script {
	t.Helper()

	var source strings.Builder

	for _, part := range parts {
		if part == "" {
			source.WriteString("local stored = redis.call('GET', KEYS[1])\n")

			continue
		}

		text, err := os.ReadFile(filepath.Join("testdata", "older", part+".lua"))
		if err != nil {
			t.Fatal(err)
		}

		source.Write(text)
	}

	op := load(flags, "older", source.String())

	return &op
}

// Two builds serve the same keys during a deployment, and after a rollback. The older scripts run under the names of
// this build: the older build was never released, and had other names.
func TestF39AnOlderBuildAndThisOneKnowTheSameFormOfARecord(t *testing.T) {
	t.Parallel()

	s, err := Open(redistest.Standalone(t).URL(), WithTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	var (
		claims    = olderScript(t, flagsNone, "claim_first", "record", "claim")
		completes = olderScript(t, flagsAllowOOM, "complete_first", "record", "complete")
		renews    = olderScript(t, flagsAllowOOM, "", "record", "renew")
		holds     = olderScript(t, flagsAllowOOM, "", "record", "hold")
		looks     = olderScript(t, flagsNoWrites, "", "record", "lookup")
	)

	ctx := t.Context()
	claimOf := func(n byte) store.Claim {
		return store.Claim{
			Key: store.Key{n}, Token: store.Token{n}, Guarantee: store.AtLeastOnce, Lease: time.Hour, MaxRun: time.Hour, Retention: week,
			Method: "/shop.v1.Orders/Create",
		}
	}
	older := func(op *script, key store.Key, args, more []byte) store.Result {
		t.Helper()

		w := s.begin(ctx, &key)

		reply, err := s.evaluate(ctx, &w, op, args, more, s.life)
		if err != nil {
			t.Fatal(err)
		}

		var res store.Result
		if _, _, err := decodeReply(&res, w.name, reply, string(more)); err != nil {
			t.Fatal(err)
		}

		return res
	}
	args := func(c *store.Claim, fence uint64) []byte {
		a := appendFence(append([]byte(nil), c.Token[:]...), fence)
		a = append(a, byte(c.Guarantee))
		a = appendUint48(appendSpan(a, c.Lease), aliveSpan(c))
		a = binary.BigEndian.AppendUint32(a, 0)

		return appendSpan(appendRetention(a, c), s.unknown)
	}
	fresh := func(c *store.Claim) []byte {
		made, err := appendFresh(nil, s.name(&c.Key), c, span(s.unknown))
		if err != nil {
			t.Fatal(err)
		}

		return made
	}
	must := func(what string, got store.Result, err error, isApplied bool, state store.State) {
		t.Helper()

		if err != nil || got.Applied != isApplied || got.Record.State != state {
			t.Errorf("%s: applied %t, %v, %v, want %t, %v", what, got.Applied, got.Record.State, err, isApplied, state)
		}
	}

	// This build claims; the older one reads, renews and completes; this one replays.
	first := claimOf(1)
	begun, err := s.Claim(ctx, first)
	must("a claim", begun, err, true, store.Running)
	must("an older lookup", older(looks, first.Key, nil, nil), nil, false, store.Running)
	must("an older renewal", older(renews, first.Key, appendSpan(appendSpan(first.Token[:], time.Hour), s.unknown), nil),
		nil, true, store.Running)
	must("an older completion", older(completes, first.Key, first.Token[:], []byte("paid")), nil, true, store.Completed)

	again, err := s.Complete(ctx, store.Completion{Key: first.Key, Token: first.Token, Outcome: []byte("paid"), Receipt: begun.Receipt})
	must("the copy of a completion", again, err, true, store.Completed)

	// The older build claims; this one renews, and completes by its receipt; the older one replays, and recognises the
	// copy of a completion.
	second := claimOf(2)
	must("an older claim", older(claims, second.Key, args(&second, 0), fresh(&second)), nil, true, store.Running)

	renewed, err := s.Renew(ctx, store.Renewal{Key: second.Key, Token: second.Token, Lease: time.Hour})
	must("a renewal", renewed, err, true, store.Running)

	done, err := s.Complete(ctx, store.Completion{Key: second.Key, Token: second.Token, Outcome: []byte("paid"), Receipt: renewed.Receipt})
	must("a completion", done, err, true, store.Completed)

	other := claimOf(2)
	other.Token = store.Token{9}
	got := older(claims, second.Key, args(&other, 0), fresh(&other))
	must("an older duplicate", got, nil, false, store.Completed)

	if string(got.Record.Outcome) != "paid" {
		t.Errorf("an older duplicate gets %q", got.Record.Outcome)
	}

	must("an older duplicate with a fence", older(claims, second.Key, args(&other, 1), fresh(&other)), nil, false, store.Completed)
	must("the older copy of a completion", older(completes, second.Key, second.Token[:], []byte("paid")), nil, true, store.Completed)
	must("an older hold", older(holds, second.Key, appendSpan(second.Token[:], s.unknown), []byte("note")), nil, false, store.Completed)

	// This one claims with a note, which the older one keeps while it renews.
	noted := claimOf(4)
	noted.Note = []byte("note")
	begun, err = s.Claim(ctx, noted)
	must("a claim with a note", begun, err, true, store.Running)

	got = older(renews, noted.Key, appendSpan(appendSpan(noted.Token[:], time.Hour), s.unknown), nil)
	must("an older renewal of a run with a note", got, nil, true, store.Running)

	if string(got.Record.Outcome) != "note" {
		t.Errorf("an older renewal leaves the note %q", got.Record.Outcome)
	}

	must("an older completion", older(completes, noted.Key, noted.Token[:], []byte("paid")), nil, true, store.Completed)

	// This one holds, and the older one completes.
	third := claimOf(3)
	begun, err = s.Claim(ctx, third)
	must("a claim", begun, err, true, store.Running)

	held, err := s.Hold(ctx, store.Hold{Key: third.Key, Token: third.Token, Outcome: []byte("note"), Receipt: begun.Receipt})
	must("a hold", held, err, true, store.Unknown)
	must("an older completion", older(completes, third.Key, third.Token[:], []byte("paid")), nil, true, store.Completed)
}
