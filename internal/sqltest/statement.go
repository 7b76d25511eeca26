//go:build unix

package sqltest

import "strings"

// Statement is a statement that a client executes.
type Statement struct {
	Text  string // on one line, with the placeholders that it was sent with
	Fault Fault  // the fault that it got
}

// Match selects statements.
type Match = func(Statement) bool

// Starting selects statements by their beginning, ignoring case and white space.
func Starting(text string) Match {
	text = strings.ToLower(oneLine(text))

	return func(s Statement) bool { return strings.HasPrefix(strings.ToLower(s.Text), text) }
}

// Containing selects statements by their content, ignoring case and white space.
func Containing(text string) Match {
	text = strings.ToLower(oneLine(text))

	return func(s Statement) bool { return strings.Contains(strings.ToLower(s.Text), text) }
}

// Any selects every statement.
func Any() Match { return func(Statement) bool { return true } }

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// isHousekeeping reports whether a driver sends the statement by itself, to check the connection. Such statements pass,
// and do not count.
func (s Statement) isHousekeeping() bool { return s.Text == "" || s.Text == ";" || s.Text == "-- ping" }
