package consume

import (
	"strconv"
	"testing"
)

func TestTheHistoryOfMessagesIsBounded(t *testing.T) {
	t.Parallel()

	h := newHistory()
	h.most = 3
	idle, failed, done := Decision{Cause: CauseStore}, Decision{Cause: CauseFailed}, Decision{Action: Ack, Cause: CauseDone}

	at := func(key string) place { return place{source: "orders", key: key} }

	for n := range 100 {
		key := strconv.Itoa(n)
		h.note(at(key), &ending{}, &idle)
		h.note(at(key), &ending{ran: true}, &failed)

		if got := h.counted(at(key), 99); got != 2 {
			t.Errorf("message %d: %d deliveries count, want 2", n, got)
		}

		if len(h.young) > 3 || len(h.old) > 3 {
			t.Fatalf("there are %d and %d places", len(h.young), len(h.old))
		}
	}

	if got := h.counted(at("0"), 99); got != 99 {
		t.Errorf("%d deliveries of a forgotten message count, want those of the queue", got)
	}

	if got := h.counted(at("98"), 0); got != 0 {
		t.Errorf("%d deliveries of a message count that nobody counts", got)
	}

	for n := range 100 {
		h.note(at(strconv.Itoa(n)), &ending{ran: true}, &done)
	}

	if n := len(h.young) + len(h.old); n != 0 {
		t.Errorf("%d messages are left that have ended", n)
	}

	// A run that ended with the store, such as one that could not commit, is an attempt.
	h.note(at("run"), &ending{}, &idle)
	h.note(at("run"), &ending{ran: true}, &idle)

	if got := h.counted(at("run"), 99); got != 2 {
		t.Errorf("%d deliveries count, want the run and this one", got)
	}

	// A dead letter that somebody has sent again may have been another process's.
	if got := h.counted(at("run"), 1); got != 1 {
		t.Errorf("%d deliveries of the first one count", got)
	}

	h.note(at("m"), &ending{ran: true}, &failed)

	if got := h.counted(at("m"), 2); got != 2 {
		t.Errorf("%d deliveries count, and none was idle", got)
	}

	h.note(at("m"), &ending{}, &idle)

	if got := h.counted(at("m"), 3); got != 2 {
		t.Errorf("%d deliveries count, want this one and the one before the idle one", got)
	}
}
