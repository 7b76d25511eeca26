//go:build unix

package oncerabbit_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// wire is a connection that notes which methods a client sends.
type wire struct {
	net.Conn

	methods *methods
}

// methods are those that were sent, by class and number.
type methods struct {
	mu   sync.Mutex
	sent map[[2]uint16]int
	// unacknowledged means that the client consumes without acknowledgements.
	unacknowledged bool
	rest           []byte // the beginning of a frame
}

var consumeMethod = [2]uint16{60, 20}

// The methods of class 60, basic, that settle a message.
var settling = [][2]uint16{{60, 80}, {60, 90}, {60, 120}} // ack, reject, nack

func (w wire) Write(data []byte) (int, error) {
	w.methods.note(data)

	return w.Conn.Write(data)
}

func (m *methods) note(data []byte) {
	const header, frameEnd, method = 7, 1, 1

	m.mu.Lock()
	defer m.mu.Unlock()

	m.rest = append(m.rest, data...)

	if protocol := []byte("AMQP\x00\x00\x09\x01"); len(m.rest) >= len(protocol) && m.rest[0] == protocol[0] {
		m.rest = m.rest[len(protocol):]
	}

	for len(m.rest) >= header {
		size := header + int(binary.BigEndian.Uint32(m.rest[3:])) + frameEnd
		if len(m.rest) < size {
			return
		}

		if m.rest[0] == method {
			sent := [2]uint16{binary.BigEndian.Uint16(m.rest[header:]), binary.BigEndian.Uint16(m.rest[header+2:])}
			m.sent[sent]++

			if sent == consumeMethod {
				m.unacknowledged = m.unacknowledged || noAck(m.rest[header+4:])
			}
		}

		m.rest = m.rest[size:]
	}
}

// noAck returns the bit no-ack of basic.consume. It is behind a number, the queue and the tag.
func noAck(arguments []byte) bool {
	const reserved, bit = 2, 2

	at := reserved
	at += 1 + int(arguments[at])
	at += 1 + int(arguments[at])

	return arguments[at]&bit != 0
}

// settled returns how many messages the client has acknowledged, rejected or given back.
func (m *methods) settled() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()

	for _, method := range settling {
		n += m.sent[method]
	}

	return n
}

// A consumer that acknowledges earlier loses the message if its process dies.
func TestNothingIsAcknowledgedBeforeItsHandlerHasEnded(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	sent := &methods{sent: make(map[[2]uint16]int)}

	var entered sync.WaitGroup

	entered.Add(2)

	finish := make(chan struct{})

	start(t, b.consumer(func(context.Context, *consume.Message) consume.Decision {
		entered.Done()
		<-finish

		return consume.Decision{Action: consume.Ack}
	}), func(ctx context.Context) (*amqp.Connection, error) {
		return amqp.DialConfig(b.url, amqp.Config{Dial: func(network, addr string) (net.Conn, error) {
			var dialer net.Dialer

			conn, err := dialer.DialContext(ctx, network, addr)

			return wire{conn, sent}, err
		}})
	})

	b.publish("a", "")
	b.publish("b", "") // its delivery comes after whatever the consumer has sent about the first
	entered.Wait()

	if n := sent.settled(); n != 0 {
		t.Errorf("%d messages are settled while their handlers run", n)
	}

	close(finish)
	servertest.Wait(t, "settling both messages", func() error {
		if n := sent.settled(); n != 2 {
			return fmt.Errorf("%d are settled", n)
		}

		return nil
	})

	if sent.unacknowledged {
		t.Error("the client consumes without acknowledgements")
	}
}
