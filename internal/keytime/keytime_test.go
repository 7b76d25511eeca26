package keytime_test

import (
	"math"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/keytime"
)

const (
	day     = 24 * time.Hour
	century = 100 * 365 * day
)

func TestToleranceIsTenMinutesOrHalfOfTheLife(t *testing.T) {
	t.Parallel()

	for life, want := range map[time.Duration]time.Duration{
		0: 0, 1: 0, 2: 1, time.Millisecond: 500 * time.Microsecond, time.Minute: 30 * time.Second, 19 * time.Minute: 570 * time.Second,
		20 * time.Minute: 10 * time.Minute, time.Hour: 10 * time.Minute, day: 10 * time.Minute, century: 10 * time.Minute,
		math.MaxInt64: 10 * time.Minute,
	} {
		if got := keytime.Tolerance(life); got != want {
			t.Errorf("Tolerance(%v) = %v, want %v", life, got, want)
		}

		if got := keytime.Usable(life); got != life-want {
			t.Errorf("Usable(%v) = %v, want %v", life, got, life-want)
		}
	}
}

func TestWindowOfAKey(t *testing.T) {
	t.Parallel()

	now := time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

	for name, tt := range map[string]struct {
		life, age          time.Duration
		valid, look, ended bool
	}{
		"just made":                    {day, 0, true, false, false},
		"of the younger half":          {day, 11 * time.Hour, true, false, false},
		"of the older half":            {day, 12 * time.Hour, true, true, false},
		"just young enough":            {day, day - 10*time.Minute, true, true, false},
		"just too old":                 {day, day - 10*time.Minute + 1, true, true, true},
		"ahead within the tolerance":   {day, -10 * time.Minute, true, false, false},
		"ahead beyond the tolerance":   {day, -10*time.Minute - 1, false, false, false},
		"short, just made":             {12 * time.Minute, 0, true, true, false},
		"short, just young enough":     {12 * time.Minute, 6 * time.Minute, true, true, false},
		"short, just too old":          {12 * time.Minute, 6*time.Minute + 1, true, true, true},
		"short, ahead":                 {12 * time.Minute, -6 * time.Minute, true, false, false},
		"short, too far ahead":         {12 * time.Minute, -6*time.Minute - 1, false, false, false},
		"an hour, looked up from 25 m": {time.Hour, 25*time.Minute + 1, true, true, false},
		"an hour, 25 minutes":          {time.Hour, 25 * time.Minute, true, false, false},
		"shortest":                     {time.Millisecond, 0, true, true, false},
		"shortest, too old":            {time.Millisecond, time.Millisecond, true, true, true},
		"longest":                      {century, century - 10*time.Minute, true, true, false},
		"longest, too old":             {century, century - 10*time.Minute + 1, true, true, true},
	} {
		window, valid := keytime.Of(now.Add(-tt.age), tt.life, now)
		if valid != tt.valid || window.LookFirst() != tt.look || window.Over(now) != tt.ended {
			t.Errorf("%s: valid %v, look first %v, over %v, want %v, %v, %v", name, valid, window.LookFirst(), window.Over(now),
				tt.valid, tt.look, tt.ended)
		}
	}

	var none keytime.Window
	if none.LookFirst() || none.Over(now) {
		t.Errorf("a key that is not time-ordered has the window %+v", none)
	}
}

// A record is kept for the key life at least. No key makes a second one after its first has expired, whatever its clock shows.
func TestNoKeyOutlivesItsRecord(t *testing.T) {
	t.Parallel()

	made := time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

	for _, life := range []time.Duration{time.Millisecond, time.Minute, 19 * time.Minute, 20 * time.Minute, time.Hour, day, century} {
		for first := -keytime.Tolerance(life); first <= life; first += max(life/50, 1) {
			claimed := made.Add(first)

			if window, valid := keytime.Of(made, life, claimed); valid && !window.Over(claimed) && !window.Over(claimed.Add(life+1)) {
				t.Errorf("a key of %v that is claimed %v after it was made may make a record again", life, first)
			}
		}
	}
}
