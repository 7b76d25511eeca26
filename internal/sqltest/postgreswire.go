//go:build unix

package sqltest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/onlyonce-go/onlyonce/internal/proxytest"
)

// postgresDialogue is PostgreSQL's protocol, version 3:
// https://www.postgresql.org/docs/current/protocol-message-formats.html.
type postgresDialogue struct {
	started  bool
	prepared map[string]string // texts by name
	portals  map[string]string
}

// Kinds of requests that begin a connection. The kind of any other request is that of its last message.
const (
	startup    = 1
	encryption = 2 // asks whether the server encrypts; the answer is one letter
)

// Codes in the place of a version.
const (
	askTLS    = 80877103
	askGSS    = 80877104
	askCancel = 80877102
)

// largest is how long a message may be.
const largest = 1 << 30

// Greeting returns none: the client begins.
func (*postgresDialogue) Greeting() *request { return nil }

func (d *postgresDialogue) Request(r *bufio.Reader) (*request, error) {
	if !d.started {
		return d.begin(r)
	}

	q := &request{}

	for {
		raw, err := readPostgres(r, 1)
		if err != nil {
			return nil, err
		}

		q.Kind = raw[0]
		q.Raw = append(q.Raw, raw...)

		body := bytes.Split(raw[5:], []byte{0})

		switch q.Kind {
		case 'Q': // Query
			q.Counts = add(q, string(body[0]))

			return q, nil
		case 'P': // Parse
			d.prepared[string(body[0])] = string(body[1])
		case 'B': // Bind
			d.portals[string(body[0])] = d.prepared[string(body[1])]
		case 'E': // Execute
			add(q, d.portals[string(body[0])])
		case 'D', 'C': // Describe, Close
		case 'S', 'F': // Sync, FunctionCall
			q.Counts = true

			return q, nil
		default: // Flush, Terminate, the data of a COPY, a password
			q.Counts = q.Kind == 'H'
			q.Silent = true

			return q, nil
		}
	}
}

func (d *postgresDialogue) begin(r *bufio.Reader) (*request, error) {
	raw, err := readPostgres(r, 0)
	if err != nil {
		return nil, err
	}

	if len(raw) < 8 {
		return nil, fmt.Errorf("%w: a connection begins with %d bytes", proxytest.ErrProtocol, len(raw))
	}

	q := &request{Raw: raw}

	switch binary.BigEndian.Uint32(raw[4:]) {
	case askTLS, askGSS:
		q.Kind = encryption
	case askCancel:
		q.Silent = true
	default:
		q.Kind = startup
		d.started = true
		d.prepared, d.portals = make(map[string]string), make(map[string]string)
	}

	return q, nil
}

func (*postgresDialogue) Reply(r *bufio.Reader, to *request) (proxytest.Reply, error) {
	if to != nil && to.Kind == encryption {
		letter, err := r.ReadByte()
		if err == nil && letter != 'N' {
			err = fmt.Errorf("%w: it encrypts (%q)", proxytest.ErrProtocol, letter)
		}

		return proxytest.Reply{Raw: []byte{letter}, Complete: true}, err
	}

	raw, err := readPostgres(r, 1)
	if err != nil {
		return proxytest.Reply{}, err
	}

	return proxytest.Reply{Raw: raw, Complete: raw[0] == 'Z'}, nil // ReadyForQuery
}

// readPostgres reads a message with a prefix and a length.
func readPostgres(r *bufio.Reader, prefix int) ([]byte, error) {
	head := make([]byte, prefix+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}

	length := binary.BigEndian.Uint32(head[prefix:])
	if length < 4 || length > largest {
		return nil, fmt.Errorf("%w: a message of %d bytes", proxytest.ErrProtocol, length)
	}

	raw := slices.Grow(head, int(length)-4)[:prefix+int(length)]
	_, err := io.ReadFull(r, raw[prefix+4:])

	return raw, err
}
