//go:build unix

package redistest

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/proxytest"
)

func TestEveryKindOfReplyIsReadToItsEnd(t *testing.T) {
	t.Parallel()

	for _, test := range []struct{ raw, text string }{
		{"+OK\r\n", "OK"},
		{"-ERR no\r\n", "ERR no"},
		{":-1\r\n", "-1"},
		{"$3\r\na\r\n\r\n", "a\r\n"},
		{"$0\r\n\r\n", ""},
		{"$-1\r\n", ""},
		{"*-1\r\n", ""},
		{"*0\r\n", ""},
		{"*2\r\n*1\r\n$1\r\na\r\n:2\r\n", "a"},
		{"_\r\n", ""},
		{"#t\r\n", "t"},
		{",1.5\r\n", "1.5"},
		{"(123\r\n", "123"},
		{"!3\r\nERR\r\n", "ERR"},
		{"=5\r\ntxt:a\r\n", "txt:a"},
		{"%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n", "a"},
		{"~2\r\n+a\r\n+b\r\n", "a"},
		{">2\r\n+message\r\n+b\r\n", "message"},
		{"|1\r\n+ttl\r\n:1\r\n$1\r\na\r\n", "a"},
	} {
		r := bufio.NewReader(strings.NewReader(test.raw + "+next\r\n"))

		got, err := readReply(r)
		if err != nil || string(got.raw) != test.raw || got.text != test.text {
			t.Errorf("%q: read %q, which says %q, %v", test.raw, got.raw, got.text, err)
		}

		if next, err := readReply(r); next.text != "next" {
			t.Errorf("after %q: %q, %v", test.raw, next.raw, err)
		}

		for n := range test.raw {
			if _, err := readReply(bufio.NewReader(strings.NewReader(test.raw[:n]))); !errors.Is(err, io.EOF) &&
				!errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q: %v", test.raw[:n], err)
			}
		}
	}
}

func TestARequestIsReadToItsEnd(t *testing.T) {
	t.Parallel()

	const raw = "*3\r\n$3\r\nSET\r\n$4\r\n\r\n*1\r\n$0\r\n\r\n"

	args, got, err := readRequest(bufio.NewReader(strings.NewReader(raw + "*1\r\n")))
	if err != nil || string(got) != raw || !slices.Equal(args, []string{"SET", "\r\n*1", ""}) {
		t.Errorf("read %q: %q, %v", got, args, err)
	}
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	t.Parallel()

	for _, raw := range []string{"GET / HTTP/1.1\r\n", "PING\r\n", "*0\r\n", "*-1\r\n", "*1\r\n:1\r\n", "*x\r\n", "$1\r\na\r\n", "\n"} {
		if _, _, err := readRequest(bufio.NewReader(strings.NewReader(raw))); !errors.Is(err, proxytest.ErrProtocol) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
