package faultynet

import (
	"encoding/binary"
	"io"
	"net"
	"time"
)

// The parts of HTTP/2 that matter here: RFC 9113, sections 3.4, 4.1 and 6.2.
const (
	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader  = 9
	typeHeaders  = 1
	streamIDMask = 1<<31 - 1
)

// link is one connection of a client through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn
}

// requests forwards what the client sends.
func (l *link) requests() {
	defer l.cut()

	start := make([]byte, len(preface))
	if _, err := io.ReadFull(l.client, start); err != nil || string(start) != preface {
		return
	}

	if _, err := l.server.Write(start); err != nil {
		return
	}

	eachFrame(l.client, func(kind byte, _ uint32, frame []byte) bool {
		if kind == typeHeaders {
			if l.proxy.draw() < l.proxy.faults.Reset {
				l.proxy.resets.Add(1)

				return false
			}

			if l.proxy.holdsRequest() {
				return false
			}
		}

		_, err := l.server.Write(frame)

		return err == nil
	})
}

// replies forwards what the server sends. The first header frame of a stream is the beginning of its reply.
func (l *link) replies() {
	defer l.cut()

	begun := make(map[uint32]bool)

	eachFrame(l.server, func(kind byte, stream uint32, frame []byte) bool {
		if kind == typeHeaders && !begun[stream] {
			begun[stream] = true

			if !l.reply() || l.proxy.holdsReply() {
				return false
			}
		}

		_, err := l.client.Write(frame)

		return err == nil
	})
}

// reply decides what happens to a reply, and reports whether the reply passes.
func (l *link) reply() bool {
	p := l.proxy

	switch chance := p.draw(); {
	case chance < p.faults.LostReply:
		p.lost.Add(1)

		return false
	case chance < p.faults.LostReply+p.faults.Late:
		p.late.Add(1)
		time.Sleep(p.faults.Delay)
	}

	return true
}

// cut resets the client's connection, like a router that has forgotten it.
func (l *link) cut() {
	if tcp, ok := l.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}

	_ = l.client.Close()
	_ = l.server.Close()
}

// eachFrame visits the frames of one direction until the connection ends or visit returns false.
func eachFrame(conn io.Reader, visit func(kind byte, stream uint32, frame []byte) bool) {
	frame := make([]byte, frameHeader, 32<<10) // more than most frames need

	for {
		if _, err := io.ReadFull(conn, frame[:frameHeader]); err != nil {
			return
		}

		size := int(frame[0])<<16 | int(frame[1])<<8 | int(frame[2])
		kind := frame[3]
		stream := binary.BigEndian.Uint32(frame[5:]) & streamIDMask

		if cap(frame) < frameHeader+size {
			frame = append(make([]byte, 0, frameHeader+size), frame[:frameHeader]...)
		}

		frame = frame[:frameHeader+size]

		if _, err := io.ReadFull(conn, frame[frameHeader:]); err != nil {
			return
		}

		if !visit(kind, stream, frame) {
			return
		}
	}
}
