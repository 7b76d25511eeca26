package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const maxShown = 512 // runes of a text in a page

// printable is a text without characters that a browser would not show, or that would change the order of others: they are escaped as Go
// does. Longer texts are cut.
func printable(text string) string {
	var b strings.Builder

	shown := 0

	for text != "" {
		if shown == maxShown {
			b.WriteString("…")

			break
		}

		r, size := utf8.DecodeRuneInString(text)

		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}

		text = text[size:]
		shown++
	}

	return b.String()
}

// ago is a duration as people say it, with two units at most.
func ago(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < 0:
		return "in " + ago(-d)
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return units(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 24*time.Hour:
		return units(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	default:
		return units(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
	}
}

func units(big int, bigName string, small int, smallName string) string {
	if small == 0 {
		return fmt.Sprintf("%d %s", big, bigName)
	}

	return fmt.Sprintf("%d %s %d %s", big, bigName, small, smallName)
}

// moment is a time in a page. The zero value is a time that nobody knows.
type moment struct{ at, now time.Time }

// ISO is the time for programs.
func (m moment) ISO() string { return m.at.UTC().Format(time.RFC3339) }

// Clock is the time for people, in UTC. The day is there unless it is today.
func (m moment) Clock() string {
	const day = "2006-01-02"

	at := m.at.UTC()
	if at.Format(day) == m.now.UTC().Format(day) {
		return at.Format(time.TimeOnly)
	}

	return at.Format(day + " " + time.TimeOnly)
}

// Ago is how long ago the time was.
func (m moment) Ago() string { return ago(m.now.Sub(m.at)) }

// Known reports whether there is a time.
func (m moment) Known() bool { return !m.at.IsZero() }

// Future reports whether the time is to come.
func (m moment) Future() bool { return m.at.After(m.now) }
