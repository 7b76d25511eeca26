package sqlstore

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestALeaseOrARetentionOfLessThanAMillisecondDoesNotEndEarly(t *testing.T) {
	t.Parallel()

	now := time.UnixMilli(1_800_000_000_000)

	for d, want := range map[time.Duration]int64{
		1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Hour: 3_600_000, math.MaxInt64: math.MaxInt64/1_000_000 + 1,
	} {
		rec := store.Record{LeaseUntil: now.Add(d), OwnerAliveUntil: now.Add(d), ExpiresAt: now.Add(d), Retention: d}
		round(&rec)

		if got := rec.Retention; got < d-d%time.Millisecond || got.Milliseconds() < want-1 {
			t.Errorf("a retention of %v becomes %v", d, got)
		}

		for _, end := range []time.Time{rec.LeaseUntil, rec.OwnerAliveUntil, rec.ExpiresAt} {
			if got := end.Sub(now).Milliseconds(); d < math.MaxInt64 && got != want {
				t.Errorf("%v from now ends after %d ms, must be %d", d, got, want)
			}
		}

		if got := span(d); got != want {
			t.Errorf("%v are %d ms, must be %d", d, got, want)
		}
	}
}

func TestARowIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}
	rec := store.Record{
		State: store.Unknown, Token: store.Token{4}, Fence: 7, Guarantee: store.ExactlyOnce,
		Fingerprint: store.Fingerprint{Scheme: 65535, Sum: [32]byte{9}}, LeaseUntil: time.UnixMilli(1), OwnerAliveUntil: time.UnixMilli(2),
		Attempts: math.MaxUint32, FirstStart: time.UnixMilli(3), LastStart: time.UnixMilli(4), EndedAt: time.UnixMilli(5),
		ExpiresAt: time.UnixMilli(6), Retention: 7 * time.Millisecond,
		Outcome: []byte("note"), Doubtful: true, Resolved: true, Method: "m", ReadableKey: "k",
	}
	r := rowOf(&key, &rec, 3)

	got, err := r.record(&key)
	if err != nil || !reflect.DeepEqual(got, rec) {
		t.Errorf("it is read as %+v, %v", got, err)
	}
}
