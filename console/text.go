package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const maxShown = 512 // runes of a text on a page

// printable is an escaped text of one line. It cuts long texts.
func printable(text string) string {
	end := 0

	for range maxShown {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}

	if end < len(text) {
		return escaped(text[:end]) + "…"
	}

	return escaped(text)
}

// escaped escapes characters, as in Go, that are invisible or reorder text.
func escaped(text string) string {
	var b strings.Builder

	for text != "" {
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
	}

	return b.String()
}

// ago formats a duration with at most two units.
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

// moment is a time on a page. The zero value is an unknown time.
type moment struct{ at, now time.Time }

// ISO formats the time for programs.
func (m moment) ISO() string { return m.at.UTC().Format(time.RFC3339) }

// Clock formats the time for people, in UTC. It includes the date unless it is today.
func (m moment) Clock() string {
	const day = "2006-01-02"

	at := m.at.UTC()
	if at.Format(day) == m.now.UTC().Format(day) {
		return at.Format(time.TimeOnly)
	}

	return at.Format(day + " " + time.TimeOnly)
}

// Ago formats the time since the moment.
func (m moment) Ago() string { return ago(m.now.Sub(m.at)) }

// Known reports whether there is a time.
func (m moment) Known() bool { return !m.at.IsZero() }

// Future reports whether the time is in the future.
func (m moment) Future() bool { return m.at.After(m.now) }
