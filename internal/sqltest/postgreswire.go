//go:build unix

package sqltest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// postgresDialogue is PostgreSQL's protocol, version 3:
// https://www.postgresql.org/docs/current/protocol-message-formats.html.
type postgresDialogue struct {
	started  bool
	prepared map[string]string // texts by name
	portals  map[string]string
}

// Kinds of requests that begin a connection. Others have that of their last message.
const (
	startup    = 1
	encryption = 2 // whether the server wants it, which it says in one letter
)

// What is in the place of a version.
const (
	askTLS    = 80877103
	askGSS    = 80877104
	askCancel = 80877102
)

// largest is how long a message may be.
const largest = 1 << 30

func (*postgresDialogue) greeting() []*request { return nil }

func (d *postgresDialogue) request(r *bufio.Reader) (*request, error) {
	if !d.started {
		return d.begin(r)
	}

	q := &request{answered: make(chan struct{})}

	for {
		raw, err := readPostgres(r, 1)
		if err != nil {
			return nil, err
		}

		q.kind = raw[0]
		q.raw = append(q.raw, raw...)

		body := bytes.Split(raw[5:], []byte{0})

		switch q.kind {
		case 'Q': // Query
			q.add(string(body[0]))
			q.counts = !q.isHousekeeping()

			return q, nil
		case 'P': // Parse
			d.prepared[string(body[0])] = string(body[1])
		case 'B': // Bind
			d.portals[string(body[0])] = d.prepared[string(body[1])]
		case 'E': // Execute
			q.add(d.portals[string(body[0])])
		case 'D', 'C': // Describe, Close
		case 'S', 'F': // Sync, FunctionCall
			q.counts = true

			return q, nil
		default: // Flush, Terminate, the data of a COPY, a password
			q.counts = q.kind == 'H'
			q.silent = true

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
		return nil, fmt.Errorf("%w: a connection begins with %d bytes", errProtocol, len(raw))
	}

	q := &request{raw: raw, answered: make(chan struct{})}

	switch binary.BigEndian.Uint32(raw[4:]) {
	case askTLS, askGSS:
		q.kind = encryption
	case askCancel:
		q.silent = true
	default:
		q.kind = startup
		d.started = true
		d.prepared, d.portals = make(map[string]string), make(map[string]string)
	}

	return q, nil
}

func (*postgresDialogue) reply(r *bufio.Reader, to *request) (reply, error) {
	if to != nil && to.kind == encryption {
		letter, err := r.ReadByte()
		if err == nil && letter != 'N' {
			err = fmt.Errorf("%w: it encrypts (%q)", errProtocol, letter)
		}

		return reply{[]byte{letter}, true}, err
	}

	raw, err := readPostgres(r, 1)
	if err != nil {
		return reply{}, err
	}

	return reply{raw, to != nil && raw[0] == 'Z'}, nil // ReadyForQuery
}

// readPostgres reads a message whose length stands behind a prefix.
func readPostgres(r *bufio.Reader, prefix int) ([]byte, error) {
	head := make([]byte, prefix+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}

	length := binary.BigEndian.Uint32(head[prefix:])
	if length < 4 || length > largest {
		return nil, fmt.Errorf("%w: a message of %d bytes", errProtocol, length)
	}

	raw := slices.Grow(head, int(length)-4)[:prefix+int(length)]
	_, err := io.ReadFull(r, raw[prefix+4:])

	return raw, err
}

// add notes that a statement is to be executed.
func (q *request) add(text string) {
	if s := (Statement{Text: oneLine(text)}); !s.isHousekeeping() {
		q.statements = append(q.statements, s)
	}
}

// isHousekeeping reports whether there is nothing in a query but housekeeping.
func (q *request) isHousekeeping() bool { return len(q.statements) == 0 }
