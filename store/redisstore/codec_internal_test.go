package redisstore

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// century is how long the longest lease, run or retention is that is ever needed.
const century = 100 * 365.25 * 24 * time.Hour

const week = 7 * 24 * time.Hour

const fuzzedName = DefaultPrefix + "the 32 bytes that make up a key."

// seedRecord is a record in a state, as the scripts write it.
func seedRecord(tb testing.TB, state store.State, outcome string) string {
	tb.Helper()

	claim := seedClaim()

	fresh, err := appendFresh(nil, fuzzedName, &claim, span(DefaultUnknownRetention))
	if err != nil {
		tb.Fatal(err)
	}

	if state == store.Completed {
		fresh = append(fresh[:aliveStart:aliveStart], fresh[aliveStart+openSize:]...)
	}

	fresh[stateStart] = byte(state)
	if state != store.Running {
		fresh[flagsStart] &^= flagFresh
	}

	binary.BigEndian.PutUint16(fresh[checkStart:], uint16(checksum(fuzzedName, string(fresh))))

	return string(fresh) + outcome
}

func seedReplies(tb testing.TB) []string {
	tb.Helper()

	header := string(make([]byte, replyHeader))
	replies := []string{ //nolint:prealloc // they are seeds
		"", "\x01", header, "\x01" + header[1:], "\x02" + header[1:], "\x03" + header[1:], header + "\x01", header + "\x02",
	}

	for _, state := range []store.State{store.Running, store.Unknown, store.Released, store.Completed, 0, 9} {
		for _, verdict := range []string{"\x00", "\x01", "\x02"} {
			replies = append(replies, verdict+header[1:]+seedRecord(tb, state, "paid"))
		}
	}

	return replies
}

func FuzzAReplyIsAnAnswerOrAnErrorAndNeverTakenForAbsent(f *testing.F) {
	for _, reply := range seedReplies(f) {
		f.Add(reply, []byte(nil))
		f.Add(reply, []byte(seedRecord(f, store.Running, "")))
	}

	f.Fuzz(func(t *testing.T, reply string, own []byte) {
		var res store.Result

		_, _, err := decodeReply(&res, fuzzedName, reply, string(own))

		switch {
		case err != nil:
			if !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) {
				t.Errorf("the error says nothing about the record: %v", err)
			}

			if res.Applied || res.Record.State != store.Absent || !res.Now.IsZero() {
				t.Errorf("there is a result besides the error: %+v", res)
			}
		case res.Record.State == store.Absent && (len(reply) != replyHeader || reply[0] != refused):
			t.Errorf("%q is taken for absent", reply)
		case len(reply) > replyHeader && string(res.Record.Outcome) != reply[len(reply)-len(res.Record.Outcome):]:
			t.Errorf("the outcome is %q", res.Record.Outcome)
		}
	})
}

func TestEverySeedOfAStateIsReadAndAnUnknownVerdictIsNot(t *testing.T) {
	t.Parallel()

	for _, state := range []store.State{store.Running, store.Unknown, store.Released, store.Completed} {
		data := seedRecord(t, state, "paid")

		var rec store.Record
		if err := decodeRecord(&rec, fuzzedName, data, int64(span(time.Second+week))); err != nil {
			t.Fatal(err)
		}

		if rec.State != state || string(rec.Outcome) != "paid" || rec.Method != "/shop.v1.Orders/Create" || rec.ReadableKey != "order-7" ||
			rec.Fence != 1 || rec.Attempts != 1 || rec.Guarantee != store.AtLeastOnce || rec.Token != (store.Token{1, 2, 3}) ||
			rec.Retention != week {
			t.Errorf("%v: read %+v", state, rec)
		}

		header := string(make([]byte, replyHeader-1))

		for _, verdict := range []string{"\x02", "\x03", "\xff"} {
			if _, _, err := decodeReply(new(store.Result), fuzzedName, verdict+header+data, ""); !errors.Is(err, store.ErrUnreadable) {
				t.Errorf("%v with verdict %q: %v", state, verdict, err)
			}

			if _, _, err := decodeReply(new(store.Result), fuzzedName, verdict+header, ""); !errors.Is(err, store.ErrUnreadable) {
				t.Errorf("nothing, with verdict %q: %v", verdict, err)
			}
		}
	}

	for _, state := range []store.State{store.Absent, 5, 255} {
		if err := decodeRecord(new(store.Record), fuzzedName, seedRecord(t, state, ""), 0); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("state %d: %v", state, err)
		}
	}
}

func TestF68SpansAreRoundedUpAndFitTheStoredForm(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		d    time.Duration
		want int64
		back time.Duration
	}{
		{math.MinInt64, 0, 0},
		{-1, 0, 0},
		{0, 0, 0},
		{1, 1, time.Millisecond},
		{time.Millisecond, 1, time.Millisecond},
		{time.Millisecond + 1, 2, 2 * time.Millisecond},
		{time.Hour, 3_600_000, time.Hour},
		{century, 3_155_760_000_000, century},
		{math.MaxInt64, math.MaxInt64/1_000_000 + 1, math.MaxInt64},
	} {
		got := uint48At(string(appendSpan(nil, tt.d)), 0)
		if back := duration(got); got != tt.want || back != tt.back {
			t.Errorf("%d ns are %d ms, want %d; and back again %v, want %v", tt.d, got, tt.want, back, tt.back)
		}
	}

	longest := store.Claim{Lease: math.MaxInt64, MaxRun: math.MaxInt64}
	if got, want := uint48At(string(appendUint48(nil, aliveSpan(&longest))), 0), 2*(int64(math.MaxInt64)/1_000_000+1); got != want {
		t.Errorf("the longest run and lease are %d ms, want %d", got, want)
	}

	for d, want := range map[time.Duration]int64{-1: 1, 0: 1, 1: 1, time.Hour: 3_600_000} {
		if got := uint48At(string(appendRetention(nil, &store.Claim{Retention: d})), 0); got != want {
			t.Errorf("a retention of %v is sent as %d, want %d", d, got, want)
		}
	}
}

func TestATimeThatIsKnownIsNeverSentAsNone(t *testing.T) {
	t.Parallel()

	for want, at := range map[int64]time.Time{
		0: {}, 1: time.UnixMilli(-5), latest: time.UnixMilli(1 << 60),
		1_700_000_000_123: time.UnixMilli(1_700_000_000_123).Add(999 * time.Microsecond),
	} {
		if got := uint48At(string(appendTime(nil, at)), 0); got != want {
			t.Errorf("%v is sent as %d, want %d", at, got, want)
		}
	}
}
