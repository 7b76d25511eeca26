//go:build unix

package sqltest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/onlyonce-go/onlyonce/internal/proxytest"
)

// mysqlDialogue is the protocol of MySQL and MariaDB: https://mariadb.com/kb/en/clientserver-protocol/. The proxy
// removes from the server's greeting the abilities that change the form of replies.
type mysqlDialogue struct {
	mu       sync.Mutex
	started  bool
	texts    map[*request]string // of statements to prepare
	prepared map[uint32]string   // texts by number

	// State of the current reply.
	current  *request
	progress progress
}

func newMySQLDialogue() *mysqlDialogue {
	return &mysqlDialogue{texts: make(map[*request]string), prepared: make(map[uint32]string)}
}

// Kinds of requests, which are the commands of the protocol, but for the first.
const (
	comGreeting   = 0xff // none: the server begins
	comQuit       = 0x01
	comQuery      = 0x03
	comChangeUser = 0x11
	comPrepare    = 0x16
	comExecute    = 0x17
	comLongData   = 0x18
	comClose      = 0x19
	comFetch      = 0x1c
)

// progress is how much of a reply has been read.
type progress struct {
	begun   bool
	rows    bool // rows follow, until an end
	columns int  // packets that come before
}

// First bytes of replies.
const (
	packetOK    = 0x00
	packetFile  = 0xfb
	packetEnd   = 0xfe
	packetError = 0xff
)

// Flags in replies.
const (
	moreResults = 0x08
	openCursor  = 0x40
)

// Greeting is the request that the server answers when it begins.
func (*mysqlDialogue) Greeting() *request { return &request{Kind: comGreeting} }

func (d *mysqlDialogue) Request(r *bufio.Reader) (*request, error) {
	raw, payload, err := readMySQL(r)
	if err != nil {
		return nil, err
	}

	d.mu.Lock()
	defer d.mu.Unlock()

	q := &request{Raw: raw}

	if !d.started {
		q.Silent = true // it belongs to the greeting

		return q, nil
	}

	if len(payload) == 0 {
		return nil, fmt.Errorf("%w: an empty command", proxytest.ErrProtocol)
	}

	q.Kind = payload[0]

	switch q.Kind {
	case comQuery:
		q.Counts = add(q, string(payload[1:]))
	case comExecute:
		add(q, d.prepared[number(payload)])

		q.Counts = true
	case comPrepare:
		q.Counts = true
		d.texts[q] = string(payload[1:])
	case comFetch:
		q.Counts = true
	case comClose:
		delete(d.prepared, number(payload))

		q.Silent = true
	case comQuit, comLongData:
		q.Silent = true
	case comChangeUser:
		d.started = false // until the server is content
	}

	return q, nil
}

// number returns which prepared statement a command is about.
func number(payload []byte) uint32 {
	if len(payload) < 5 {
		return 0
	}

	return binary.LittleEndian.Uint32(payload[1:])
}

func (d *mysqlDialogue) Reply(r *bufio.Reader, to *request) (proxytest.Reply, error) {
	raw, payload, err := readMySQL(r)
	if err != nil {
		return proxytest.Reply{}, err
	}

	if to == nil || len(payload) == 0 {
		return proxytest.Reply{Raw: raw}, nil // the server explains why it hangs up
	}

	complete, err := d.advance(payload, to)

	return proxytest.Reply{Raw: raw, Complete: complete}, err
}

// advance reports whether a packet completes the reply to a request.
func (d *mysqlDialogue) advance(payload []byte, to *request) (complete bool, err error) {
	if to != d.current {
		d.current, d.progress = to, progress{}
	}

	first := payload[0]
	begun := d.progress.begun
	d.progress.begun = true

	if first == packetError && (!begun || d.progress.columns == 0) {
		d.start(to)

		return true, nil
	}

	switch to.Kind {
	case comGreeting, comChangeUser:
		if to.Kind == comGreeting && !begun {
			return false, simplify(payload)
		}

		if first == packetOK {
			d.start(to)
		}

		return first == packetOK, nil
	case comPrepare:
		return d.preparing(payload, to, begun)
	case comFetch:
		return first == packetEnd && len(payload) < 9, nil
	case comQuery, comExecute:
		return result(payload, &d.progress, begun)
	default:
		return true, nil
	}
}

// start notes that commands follow.
func (d *mysqlDialogue) start(to *request) {
	if to.Kind == comGreeting || to.Kind == comChangeUser {
		d.mu.Lock()
		d.started = true
		d.mu.Unlock()
	}
}

// preparing counts the packets that describe a prepared statement.
func (d *mysqlDialogue) preparing(payload []byte, to *request, begun bool) (complete bool, err error) {
	p := &d.progress

	if begun {
		p.columns--

		return p.columns == 0, nil
	}

	if len(payload) < 9 {
		return false, fmt.Errorf("%w: a prepared statement in %d bytes", proxytest.ErrProtocol, len(payload))
	}

	d.mu.Lock()
	d.prepared[number(payload)] = d.texts[to]
	delete(d.texts, to)
	d.mu.Unlock()

	for _, n := range []uint16{binary.LittleEndian.Uint16(payload[5:]), binary.LittleEndian.Uint16(payload[7:])} {
		if n > 0 {
			p.columns += int(n) + 1 // and an end
		}
	}

	return p.columns == 0, nil
}

// result follows one result, or several.
func result(payload []byte, p *progress, begun bool) (complete bool, err error) {
	first := payload[0]

	switch {
	case !begun && first == packetOK:
		flags := payload[1:]
		for range 2 { // rows affected, last number inserted
			_, n := length(flags)
			flags = flags[min(n, len(flags)):]
		}

		return p.end(flags), nil
	case !begun && first == packetFile:
		return false, fmt.Errorf("%w: the server asks for a file", proxytest.ErrProtocol)
	case !begun:
		columns, _ := length(payload)
		p.columns = columns + 1 // and an end

		return false, nil
	case p.columns > 0:
		p.columns--
		p.rows = p.columns == 0

		if p.rows && len(payload) >= 5 && payload[3]&openCursor != 0 {
			return p.end(payload[3:]), nil
		}

		return false, nil
	case first == packetEnd && len(payload) < 9:
		return p.end(payload[min(3, len(payload)):]), nil
	default:
		return false, nil
	}
}

// end reports whether the flags exclude a further result.
func (p *progress) end(flags []byte) bool {
	*p = progress{}

	return len(flags) == 0 || flags[0]&moreResults == 0
}

// length decodes a number of variable length, and returns its size in bytes.
func length(b []byte) (value, size int) {
	if len(b) == 0 {
		return 0, 0
	}

	size = map[byte]int{0xfc: 3, 0xfd: 4, 0xfe: 9}[b[0]]
	if size == 0 {
		return int(b[0]), 1
	}

	for i := min(size, len(b)) - 1; i > 0; i-- {
		value = value<<8 | int(b[i])
	}

	return value, size
}

// simplify removes from a greeting, in place, the abilities that a proxy cannot follow: encryption, compression, ends
// that look like successes, and those of MariaDB alone.
func simplify(payload []byte) error {
	name := bytes.IndexByte(payload, 0)
	at := name + 1 + 4 + 8 + 1 // number of the session, a part of the challenge, a filler

	if payload[0] != 10 || name < 0 || len(payload) < at+18 {
		return fmt.Errorf("%w: a greeting of version %d", proxytest.ErrProtocol, payload[0])
	}

	const (
		compression = 1 << 5
		tls         = 1 << 11
		noEnds      = 1 << 24
	)

	low, high := payload[at:], payload[at+5:]
	binary.LittleEndian.PutUint16(low, binary.LittleEndian.Uint16(low)&^(compression|tls))
	binary.LittleEndian.PutUint16(high, binary.LittleEndian.Uint16(high)&^(noEnds>>16))
	clear(payload[at+14 : at+18])

	return nil
}

// split is the length of a packet that continues in the next one.
const split = 1<<24 - 1

// readMySQL reads a packet, and returns it with and without headers. The results share memory unless the packet is split.
func readMySQL(r *bufio.Reader) (raw, payload []byte, err error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, nil, err
		}

		size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16

		at := len(raw)
		raw = append(append(raw, head[:]...), make([]byte, size)...)

		if _, err := io.ReadFull(r, raw[at+4:]); err != nil {
			return nil, nil, err
		}

		if at == 0 && size < split {
			return raw, raw[4:], nil
		}

		payload = append(payload, raw[at+4:]...)

		if size < split {
			return raw, payload, nil
		}
	}
}
