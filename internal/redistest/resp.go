//go:build unix

package redistest

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"github.com/onlyonce-go/onlyonce/internal/proxytest"
)

// readRequest reads one request, an array of bulk strings. It returns the strings and the raw bytes.
func readRequest(r *bufio.Reader) (args []string, raw []byte, err error) {
	v := valueReader{r: r}

	kind, n, err := v.header()
	if err != nil {
		return nil, nil, err
	}

	if kind != '*' || n < 1 {
		return nil, nil, fmt.Errorf("%w: %q", proxytest.ErrProtocol, v.raw)
	}

	for range n {
		kind, arg, err := v.value()
		if err != nil {
			return nil, nil, err
		}

		if kind != '$' {
			return nil, nil, fmt.Errorf("%w: %q", proxytest.ErrProtocol, v.raw)
		}

		args = append(args, arg)
	}

	return args, v.raw, nil
}

// reply is one reply, or one message that answers nothing.
type reply struct {
	kind byte   // its first byte
	text string // its text; that of an array is the text of its first element
	raw  []byte
}

// readReply reads one reply in either version of the protocol.
func readReply(r *bufio.Reader) (reply, error) {
	v := valueReader{r: r}

	kind, text, err := v.value()

	return reply{kind, text, v.raw}, err
}

// valueReader keeps the raw bytes that it has read.
type valueReader struct {
	r   *bufio.Reader
	raw []byte
}

// value reads a value with all that is in it.
func (v *valueReader) value() (kind byte, text string, err error) {
	start := len(v.raw)

	kind, n, err := v.header()
	if err != nil {
		return 0, "", err
	}

	switch kind {
	case '$', '=', '!': // strings, verbatim strings, long errors
		text, err = v.bytes(n)
	case '*', '~', '>': // arrays, sets, messages
		text, err = v.elements(n)
	case '%': // maps
		text, err = v.elements(2 * n)
	case '|': // remarks, before the value
		if _, err := v.elements(2 * n); err != nil {
			return 0, "", err
		}

		return v.value()
	default: // one line
		text = string(v.raw[start+1 : len(v.raw)-2])
	}

	return kind, text, err
}

// header reads the line that a value begins with, and the length that it gives, if any.
func (v *valueReader) header() (kind byte, n int, err error) {
	line, err := v.r.ReadBytes('\n')
	v.raw = append(v.raw, line...)

	if err != nil {
		return 0, 0, err
	}

	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, 0, fmt.Errorf("%w: %q", proxytest.ErrProtocol, line)
	}

	switch kind = line[0]; kind {
	case '+', '-', ':', '_', ',', '#', '(':
		return kind, 0, nil
	case '$', '=', '!', '*', '~', '>', '%', '|':
		n, err = strconv.Atoi(string(line[1 : len(line)-2]))
		if err == nil {
			return kind, n, nil
		}
	}

	return 0, 0, fmt.Errorf("%w: %q", proxytest.ErrProtocol, line)
}

// bytes reads a string of n bytes. A negative n means no string.
func (v *valueReader) bytes(n int) (string, error) {
	if n < 0 {
		return "", nil
	}

	start := len(v.raw)
	v.raw = append(v.raw, make([]byte, n+2)...)

	if _, err := io.ReadFull(v.r, v.raw[start:]); err != nil {
		return "", err
	}

	return string(v.raw[start : start+n]), nil
}

// elements reads n values, and returns the text of the first.
func (v *valueReader) elements(n int) (first string, err error) {
	for i := range n {
		_, text, err := v.value()
		if err != nil {
			return "", err
		}

		if i == 0 {
			first = text
		}
	}

	return first, nil
}
