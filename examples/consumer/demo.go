package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// demo sends messages without the kit and then with it, while processes are killed.
func demo(ctx context.Context, out io.Writer, messages int) error {
	var last result

	for _, kit := range []bool{false, true} {
		name := "without the kit"
		if kit {
			name = "with the kit"
		}

		s := &scenario{kit: kit, messages: messages}

		began := time.Now()

		found, err := s.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}

		fmt.Fprintf(out, "%-15s  killed: %d producers, %d consumers, %d brokers; sent again: %d; %d dead letters; %.1f s\n", name,
			s.producers.Load(), s.consumers.Load(), s.brokers, found.again, found.dead, time.Since(began).Seconds())

		if !kit {
			fmt.Fprintf(out, "%-15s  %v\n", name, found)
		}

		last = found
	}

	fmt.Fprintln(out, "result", last)

	if last.effects != messages || last.doubled != 0 || last.missing != 0 || last.dead != 0 {
		return errors.New("the kit has lost or doubled messages")
	}

	return nil
}

// result counts the effects of the messages.
type result struct{ messages, effects, doubled, missing, again, dead int }

func (r result) String() string {
	return fmt.Sprintf("messages=%d effects=%d doubled=%d missing=%d", r.messages, r.effects, r.doubled, r.missing)
}

const (
	consumerCount = 3
	consumerKills = 4 // per consumer
	producerKills = 3
	brokerKills   = 2
)

// scenario is one half of the demo.
type scenario struct {
	kit      bool
	messages int

	folder    string
	backup    []byte // the producer's database without orders
	url       string
	port      int
	producers atomic.Int64 // killed
	consumers atomic.Int64
	brokers   int

	broker  *process
	js      jetstream.JetStream
	charges *sql.DB
}

func (s *scenario) task() *task {
	return &task{Kit: s.kit, URL: s.url, Folder: s.folder, Port: s.port, Messages: s.messages}
}

// run starts everything, kills processes, and waits until all messages are settled.
func (s *scenario) run(ctx context.Context) (found result, err error) {
	if s.folder, err = os.MkdirTemp("", "onlyonce-consumer"); err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.folder)) }()

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	if err := s.prepare(ctx); err != nil {
		return found, err
	}
	defer s.charges.Close() //nolint:errcheck // it was read
	defer func() { s.broker.kill() }()

	conn, js, err := connect(s.url)
	if err != nil {
		return found, err
	}
	defer conn.Close()

	s.js = js

	if err := makeStreams(ctx, js); err != nil {
		return found, err
	}

	if err := s.settleAll(ctx, fail); err != nil {
		return found, err
	}

	return s.count(ctx)
}

// settleAll runs producers, consumers and the broker, and kills them, until all messages are settled. It calls fail with the first error of
// a producer or consumer.
func (s *scenario) settleAll(ctx context.Context, fail context.CancelCauseFunc) error {
	var consumers sync.WaitGroup

	settled, stop := context.WithCancel(ctx)

	for range consumerCount {
		consumers.Go(func() {
			if err := s.killConsumers(settled); err != nil {
				fail(err)
			}
		})
	}

	produced := make(chan struct{})

	go func() {
		defer close(produced)

		if err := s.killProducers(ctx); err != nil {
			fail(err)
		}
	}()

	err := s.watch(ctx, produced)

	stop()
	consumers.Wait()
	<-produced

	return err
}

// prepare starts the broker and creates the databases.
func (s *scenario) prepare(ctx context.Context) error {
	for _, name := range []string{orderDatabase, chargeDatabase} {
		db, err := openPatiently(s.task(), name)
		if err != nil {
			return err
		}

		if err := makeTables(ctx, db); err != nil {
			return errors.Join(err, db.Close())
		}

		if name == chargeDatabase {
			s.charges = db
		} else if err := db.Close(); err != nil {
			return err
		}
	}

	if err := s.backUp(); err != nil {
		return err
	}

	var err error

	s.port, err = freePort(ctx)
	if err != nil {
		return err
	}

	return s.startBroker(ctx)
}

// startBroker starts the broker on its port.
func (s *scenario) startBroker(ctx context.Context) error {
	p, err := start(ctx, "broker", s.task())
	if err != nil {
		return err
	}

	s.broker = p

	url, ok := <-p.lines
	if !ok {
		return errors.New("the broker has ended by itself")
	}

	if s.url == "" { // a restart keeps the port, and processes read the URL concurrently
		s.url = url
	}

	return nil
}

// killProducers starts a producer and kills it at its worst moments, several times. The last producer finishes. A producer that was killed
// after sending loses its database and restores a backup.
func (s *scenario) killProducers(ctx context.Context) error {
	places := []string{afterWriting}
	if s.kit {
		places = []string{inTransaction, afterSending}
	}

	for kills := 0; ; kills++ {
		t := s.task()
		if kills < producerKills {
			t.HaltAt, t.HaltAfter = places[kills%len(places)], s.halfOf(s.messages/producerKills/2)
		}

		p, err := start(ctx, "produce", t)
		if err != nil {
			return err
		}

		said, ok := <-p.lines
		p.kill()

		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was killed because the demo ends
		case !ok:
			return errors.New("a producer has ended by itself")
		case said == done:
			return nil
		}

		s.producers.Add(1)

		if t.HaltAt == afterSending {
			if err := errors.Join(s.sendAgain(ctx), s.restore()); err != nil {
				return err
			}
		}
	}
}

// killConsumers starts a consumer and kills it at its worst moments, until the messages are settled.
func (s *scenario) killConsumers(settled context.Context) error {
	places := []string{beforeAck}
	if s.kit {
		places = []string{beforeAck, inTransaction}
	}

	for kills := 0; settled.Err() == nil; kills++ {
		t := s.task()
		if kills < consumerKills {
			t.HaltAt, t.HaltAfter = places[kills%len(places)], s.halfOf(s.messages/consumerCount/consumerKills)
		}

		p, err := start(context.WithoutCancel(settled), "consume", t)
		if err != nil {
			return err
		}

		select {
		case _, ok := <-p.lines:
			p.kill()

			if !ok {
				return errors.New("a consumer has ended by itself")
			}

			s.consumers.Add(1)
		case <-settled.Done():
			p.kill()
		}
	}

	return nil
}

// halfOf returns a random number between n/2 and n, at least 1.
func (s *scenario) halfOf(n int) int64 {
	return int64(max(n/2+rand.N(n/2+1), 1)) //nolint:gosec // not a secret
}

// watch kills the broker from time to time. It returns when all messages are published and settled.
func (s *scenario) watch(ctx context.Context, produced <-chan struct{}) error {
	const pause = 20 * time.Millisecond

	for {
		effects, err := s.effects(ctx)
		if err != nil {
			return err
		}

		if s.brokers < brokerKills && effects > s.messages*(s.brokers+1)/(brokerKills+2) {
			s.broker.kill()
			s.brokers++

			if err := s.startBroker(ctx); err != nil {
				return err
			}
		}

		select {
		case <-produced:
			left, err := s.stored(ctx, orderStream)
			if err == nil && left == 0 {
				return context.Cause(ctx)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}

		time.Sleep(pause)
	}
}

func (s *scenario) effects(ctx context.Context) (n int, err error) {
	err = s.charges.QueryRowContext(ctx, "SELECT count(*) FROM charges").Scan(&n)

	return n, err
}

// stored returns the number of messages in a stream.
func (s *scenario) stored(ctx context.Context, name string) (n int, err error) {
	state, err := s.state(ctx, name)

	return int(state.Msgs), err //nolint:gosec // it is small
}

func (s *scenario) state(ctx context.Context, name string) (state jetstream.StreamState, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		stream, err := s.js.Stream(ctx, name)
		if err == nil {
			state = stream.CachedInfo().State
		}

		return err
	})

	return state, err
}

// count counts the effects of the messages.
func (s *scenario) count(ctx context.Context) (r result, err error) {
	var charged int

	if err := s.charges.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT number) FROM charges").Scan(&r.effects, &charged); err != nil {
		return r, err
	}

	r.messages, r.doubled, r.missing = s.messages, r.effects-charged, s.messages-charged

	orders, err := s.state(ctx, orderStream)
	if err != nil {
		return r, err
	}

	r.again = max(int(orders.LastSeq)-s.messages, 0) //nolint:gosec // it is small
	r.dead, err = s.stored(ctx, deadStream)

	return r, err
}
