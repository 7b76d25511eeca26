package console

import (
	"fmt"
	"slices"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// event is a step in the history of a record.
type event struct {
	At     moment
	What   string
	Detail string
	// Kind is the CSS class of the step: started, alive, unknown, settled or ahead.
	Kind string
}

// story returns the history of a record, oldest step first. Steps without a time are in their logical order.
func story(rec *onlyonce.Record) []event {
	var steps []event

	add := func(at time.Time, kind, what, detail string) {
		steps = append(steps, event{At: moment{at: at, now: rec.LookedUpAt}, What: what, Detail: detail, Kind: kind})
	}

	if rec.State == store.Absent {
		return nil
	}

	if rec.Attempts > 0 {
		add(rec.FirstStart, "started", "Claimed", "The first run started.")
	}

	if rec.Attempts > 1 {
		add(rec.LastStart, "started", fmt.Sprintf("Claimed again: run %d", rec.Attempts), again(rec))
	}

	switch {
	case rec.State == store.Running && !rec.Unknown:
		add(rec.LeaseUntil, "ahead", "Lease ends unless renewed", "The owner is working and renews its lease.")
	case rec.State == store.Running:
		add(rec.LeaseUntil, "unknown", "Lease ended", "The owner neither renewed it nor recorded an outcome. Since then, the outcome is unknown.")
	case rec.State == store.Unknown:
		add(rec.EndedAt, "unknown", "Ended: outcome unknown", withCode("The run ended. It is not known whether the effect happened.", rec.Code))
	case rec.Resolved:
		add(rec.EndedAt, "settled", settledAs(rec), settledBy(rec))
	case rec.State == store.Completed:
		add(rec.EndedAt, "settled", "Ended: completed", withCode("The owner recorded the outcome. Duplicates get it.", rec.Code))
	case rec.State == store.Released:
		add(rec.EndedAt, "settled", "Ended: released", "The effect did not happen. The next call with the key runs.")
	}

	if rec.State != store.Completed && rec.OwnerMayBeAlive(rec.LookedUpAt) {
		add(rec.OwnerAliveUntil, "ahead", "The owner is certainly dead",
			"Until then, a run may still be working, so \"it did not happen\" is refused.")
	}

	if !rec.ExpiresAt.IsZero() {
		add(rec.ExpiresAt, "ahead", "Expires", "The record is removed. A call with the key then runs.")
	}

	slices.SortStableFunc(steps, func(a, b event) int {
		if !a.At.Known() || !b.At.Known() {
			return 0
		}

		return a.At.at.Compare(b.At.at)
	})

	return steps
}

func again(rec *onlyonce.Record) string {
	if rec.Doubtful {
		return "The outcome of an earlier run is unknown."
	}

	return "An earlier run ended without an effect, or its lease ended."
}

func withCode(text, code string) string {
	if code == "" {
		return text
	}

	return text + " Code: " + code + "."
}

func settledAs(rec *onlyonce.Record) string {
	if rec.State == store.Released {
		return "Settled: it did not happen"
	}

	return withCode("Settled: it happened.", rec.Code)
}

func settledBy(rec *onlyonce.Record) string {
	text := "By somebody other than the owner."
	if rec.SettledBy != "" {
		text = "By " + rec.SettledBy + "."
	}

	if rec.Reason != "" {
		text += " Reason: " + rec.Reason
	}

	return text
}
