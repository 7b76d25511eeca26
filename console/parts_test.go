package console

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func told(rec onlyonce.Record) string {
	var b strings.Builder

	for _, step := range story(&rec) {
		b.WriteString(step.What + ": " + step.Detail + "\n")
	}

	return b.String()
}

func TestStoryMatchesTheFieldsOfTheRecord(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }

	record := func(rec store.Record) onlyonce.Record {
		rec.Attempts, rec.FirstStart, rec.LastStart = max(rec.Attempts, 1), at(-30), at(-20)

		return onlyonce.Record{Record: rec, LookedUpAt: now}
	}

	abandoned := record(store.Record{State: store.Running, LeaseUntil: at(-5)})
	abandoned.Unknown = true

	settled := record(store.Record{State: store.Completed, EndedAt: at(-1), Resolved: true})
	settled.SettledBy, settled.Reason, settled.Code = "Ada", "bank statement", "OK"

	recovered := record(store.Record{State: store.Released, EndedAt: at(-1), Resolved: true})
	recovered.SettledBy = "recovery function"

	held := record(store.Record{
		State: store.Unknown, EndedAt: at(-3), OwnerAliveUntil: at(2), ExpiresAt: at(600), Attempts: 2, Doubtful: true,
	})
	held.Code = "UNAVAILABLE"

	for want, rec := range map[string]onlyonce.Record{
		"": {},
		"Claimed: The first run started.\nLease ends unless renewed: ": record(store.Record{State: store.Running, LeaseUntil: at(1)}),
		"Claimed: The first run started.\nLease ended: ":               abandoned,
		"Claimed: The first run started.\nClaimed again: run 2: The outcome of an earlier run is unknown.\n" +
			"Ended: outcome unknown: The run ended. It is not known whether the effect happened. Code: UNAVAILABLE.\n" +
			"The owner is certainly dead: Until then, a run may still be working, so \"it did not happen\" is refused.\nExpires: ": held,
		"Claimed: The first run started.\nSettled: it happened. Code: OK.: By Ada. Reason: bank statement\n": settled,
		"Claimed: The first run started.\nSettled: it did not happen: By recovery function.\n":               recovered,
		"Claimed: The first run started.\nEnded: completed: The owner recorded the outcome.": record(store.Record{
			State: store.Completed, EndedAt: at(-1),
		}),
		"Claimed: The first run started.\nEnded: released: The effect did not happen. The next call with the key runs.\n": record(store.Record{
			State: store.Released, EndedAt: at(-1),
		}),
		"Claimed: The first run started.\nSettled: it did not happen: By somebody other than the owner.\n": record(store.Record{
			State: store.Released, EndedAt: at(-1), Resolved: true,
		}),
	} {
		if got := told(rec); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

func TestActivityCountsTheLastFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a Activity

		call := func(method string, status onlyonce.Status) {
			a.Observe(t.Context(), onlyonce.Event{Kind: onlyonce.EventCall, Method: method, Status: status})
		}

		call("early", onlyonce.StatusExecuted)
		time.Sleep(window - 2*barLength)
		call("pay", onlyonce.StatusExecuted)
		call("pay", onlyonce.StatusReplayed)
		a.Observe(t.Context(), onlyonce.Event{Kind: onlyonce.EventTakeover, Method: "pay"})
		time.Sleep(barLength)
		call("pay", onlyonce.StatusUnknown)
		call("refund", onlyonce.StatusRejected)

		bars, methods := a.read(time.Now())
		if got := methods["pay"]; got != (tally{Executed: 1, Replayed: 1, Unknown: 1}) {
			t.Errorf("pay: %+v", got)
		}

		if bars[barCount-1] != (tally{Unknown: 1, Other: 1}) || bars[barCount-2] != (tally{Executed: 1, Replayed: 1}) || len(methods) != 3 {
			t.Errorf("got %v, %v", bars[barCount-3:], methods)
		}

		time.Sleep(window)

		if bars, methods := a.read(time.Now()); len(methods) != 0 || drawCalls(bars).Top != 0 {
			t.Errorf("after the window: %v, %v", bars, methods)
		}
	})
}

func TestActivityBoundsTheMethodsThatItCounts(t *testing.T) {
	var a Activity

	for i := range 3 * maxMethods {
		a.Observe(t.Context(), onlyonce.Event{Kind: onlyonce.EventCall, Method: strings.Repeat("m", i), Status: onlyonce.StatusExecuted})
	}

	if bars, methods := a.read(time.Now()); len(methods) != maxMethods || drawCalls(bars).Summary[:26] != "Last 15 minutes: 600 calls" {
		t.Errorf("%d methods, %s", len(methods), drawCalls(bars).Summary)
	}
}

func TestPictureShowsEverythingThatIsThere(t *testing.T) {
	bars := make([]tally, barCount)
	bars[3] = tally{Executed: 10_000, Unknown: 1, Other: 5}
	bars[4] = tally{Replayed: 1}

	for _, r := range drawCalls(bars).Rects {
		if r.Height < 2 || r.Y < 0 || r.Y+r.Height > pictureHeight+4 || r.X < 0 || r.X+r.Width > pictureWidth {
			t.Errorf("%+v does not fit", r)
		}
	}

	if got := len(drawCalls(bars).Rects); got != 4 {
		t.Errorf("%d rectangles", got)
	}
}

func TestSamplesKeepOneForEachBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s samples

		for range 3 * barCount {
			s.add(sample{At: time.Now(), Unknown: 1})
			time.Sleep(barLength / 2)
		}

		if got := len(s.read(time.Now())); got != barCount && got != barCount-1 {
			t.Errorf("%d samples", got)
		}

		p := drawSamples(s.read(time.Now()), time.Now())
		for _, r := range p.Rects {
			if r.X < 0 || r.X+r.Width > pictureWidth {
				t.Errorf("%+v does not fit", r)
			}
		}
	})
}

func TestTextsOfDurations(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0 s": 0, "59 s": 59 * time.Second, "1 min": time.Minute, "2 min 5 s": 125 * time.Second, "3 h": 3 * time.Hour,
		"3 h 20 min": 200 * time.Minute, "2 d 1 h": 49 * time.Hour, "in 5 s": -5 * time.Second,
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

var tags = regexp.MustCompile(`</?[a-z]+[^>]*>`)

// A name chosen by a caller or an attacker must not become markup, hide, or reorder other text.
func FuzzNamesCannotChangeThePage(f *testing.F) {
	for _, name := range []string{
		"/bank.v1.Bank/Pay", `"><script>alert(1)</script>`, "a\x00b\x1b[31m", "\u202eyaP", "javascript:alert(1)", "\xff\xfe", "{{.}}",
		"&lt;b&gt;",
		strings.Repeat("x", 2000), "a\r\nSet-Cookie: x=1", "\u2028", "'onload='x",
	} {
		f.Add(name)
	}

	plain := rowsOf(f, "plain")

	f.Fuzz(func(t *testing.T, name string) {
		shown := printable(name)
		if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is shown as %q", name, shown)
		}

		if utf8.RuneCountInString(shown) > 10*(maxShown+1) {
			t.Errorf("%d characters", utf8.RuneCountInString(shown))
		}

		if name == "" {
			return
		}

		got := rowsOf(t, name)
		if a, b := len(tags.FindAllString(got, -1)), len(tags.FindAllString(plain, -1)); a != b {
			t.Errorf("%q makes %d tags out of %d: %s", name, a, b, got)
		}

		if strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q leaves characters that cannot be printed: %q", name, got)
		}
	})
}

// rowsOf returns a page that shows a method wherever methods appear.
func rowsOf(tb testing.TB, method string) string {
	tb.Helper()

	var out bytes.Buffer

	view := storeView{
		Name: method, Methods: []methodRow{{Method: method}}, Problems: []string{method},
		UnknownRows: []recordRow{{ID: "id", Short: "id", Method: method, Code: method, Problem: method}},
	}
	data := &overviewPage{frame: frame{Title: method, Product: method}, Filter: filter{method, method}, Stores: []storeView{view}}

	if err := pages.ExecuteTemplate(&out, "overview", data); err != nil {
		tb.Fatal(err)
	}

	return out.String()
}
