package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// clean makes a text safe to print. It hides passwords and escapes characters that are unsafe on a terminal. Line breaks stay.
func (a *app) clean(text string) string {
	for _, secret := range a.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}

	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = escaped(lines[i])
	}

	return strings.Join(lines, "\n")
}

// escaped escapes unprintable characters as in Go. They could control the terminal or reorder the text.
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
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}

		text = text[size:]
	}

	return b.String()
}

// The colours.
const (
	plain  = ""
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours a text, if the output may have colours.
func (a *app) paint(color, text string) string {
	if !a.color || color == plain {
		return text
	}

	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// output is the output of a command. After a write error, such as a full disk, it writes nothing more, and stop ends the command.
type output struct {
	to   io.Writer
	stop context.CancelFunc
	err  error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}

	n, err := o.to.Write(p)
	if err != nil {
		o.err = fmt.Errorf("writing the output: %w", err)
		o.stop()
	}

	return n, o.err
}

// printf prints a line. The text must be safe.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// printJSON prints a value as JSON.
func (a *app) printJSON(value any) error { return writeJSON(a.out, value, "  ") }

// printJSONLine prints a value as JSON on one line.
func (a *app) printJSONLine(value any) error { return writeJSON(a.out, value, "") }

func writeJSON(w io.Writer, value any, indent string) error {
	var b bytes.Buffer

	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", indent)
	encoder.SetEscapeHTML(false)

	if err := encoder.Encode(value); err != nil {
		return err
	}

	_, err := io.WriteString(w, printableJSON(b.String()))

	return err
}

// printableJSON escapes characters in JSON that are unsafe on a terminal. The encoder does not escape characters beyond ASCII, such as
// control characters and marks that reverse the text.
func printableJSON(text string) string {
	var b strings.Builder

	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > maxUnit:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}

	return b.String()
}

// maxUnit is the last character that needs one UTF-16 unit, and so one JSON escape.
const maxUnit = 0xffff

// table prints rows under a head. It cuts one column so that a row fits the width.
type table struct {
	head []string
	rows [][]string
	// colors has the colours of each row, by column. Nil means no colours.
	colors []map[int]string
	// wide is the column to cut.
	wide int
}

const gap = 2

func (t *table) add(colors map[int]string, cells ...string) {
	t.rows = append(t.rows, cells)
	t.colors = append(t.colors, colors)
}

func (a *app) printTable(t *table) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}

	total := gap * (len(widths) - 1)
	for _, width := range widths {
		total += width
	}

	if over := total - a.width; over > 0 {
		const narrowest = 8

		widths[t.wide] = max(widths[t.wide]-over, narrowest)
	}

	a.printRow(t.head, widths, nil, bold)

	for i, row := range t.rows {
		a.printRow(row, widths, t.colors[i], plain)
	}
}

func (a *app) printRow(cells []string, widths []int, colors map[int]string, all string) {
	var b strings.Builder

	for i, cell := range cells {
		text := shortened(cell, widths[i])
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+gap)

		if i == len(cells)-1 {
			pad = ""
		}

		color := all
		if c := colors[i]; c != plain {
			color = c
		}

		b.WriteString(a.paint(color, text) + pad)
	}

	fmt.Fprintln(a.out, strings.TrimRight(b.String(), " "))
}

// shortened cuts the beginning of a long text. The end of a method name is more useful.
func shortened(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}

	return "…" + string(runes[len(runes)-width+1:])
}

// fields prints pairs of a name and a value. It breaks long values at spaces.
func (a *app) fields(pairs ...[2]string) {
	const (
		narrowest = 20
		spare     = 2
	)

	widest := 0
	for _, pair := range pairs {
		widest = max(widest, utf8.RuneCountInString(pair[0]))
	}

	for _, pair := range pairs {
		if pair[1] == "" {
			continue
		}

		name := pair[0] + strings.Repeat(" ", widest-utf8.RuneCountInString(pair[0])+spare)
		lines := wrap(pair[1], max(a.width-widest-spare, narrowest))

		a.printf("%s%s", a.paint(bold, name), lines[0])

		for _, line := range lines[1:] {
			a.printf("%s%s", strings.Repeat(" ", widest+spare), line)
		}
	}
}

// wrap breaks a text at spaces into lines of at most width characters. Line breaks stay.
func wrap(text string, width int) (lines []string) {
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""

		for word := range strings.SplitSeq(paragraph, " ") {
			switch {
			case line == "":
				line = word
			case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
				lines, line = append(lines, line), word
			default:
				line += " " + word
			}
		}

		lines = append(lines, line)
	}

	return lines
}

// span formats a duration with at most two units.
func span(d time.Duration) string {
	const day = 24 * time.Hour

	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return units(d, time.Minute, "m", time.Second, "s")
	case d < day:
		return units(d, time.Hour, "h", time.Minute, "m")
	default:
		return units(d, day, "d", time.Hour, "h")
	}
}

func units(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	text := strconv.Itoa(int(d/large)) + largeName
	if rest := d % large / small; rest > 0 {
		text += strconv.Itoa(int(rest)) + smallName
	}

	return text
}

// moment formats a time. The zero time is empty.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}

	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
