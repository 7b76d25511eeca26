package redisstore

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// bench has connections of one client, and their servers' ends.
type bench struct {
	t      *testing.T
	routes *routes
	far    net.Conn // of the newest connection
}

func newBench(t *testing.T) *bench {
	t.Helper()

	b := &bench{t: t}
	b.routes = newRoutes(func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		b.far = far

		t.Cleanup(func() { _, _ = near.Close(), far.Close() })

		return near, nil
	})

	return b
}

func (b *bench) dial(address string) (*connection, net.Conn) {
	b.t.Helper()

	conn, err := b.routes.Dial(b.t.Context(), "tcp", address)
	if err != nil {
		b.t.Fatal(err)
	}

	made, ok := conn.(*connection)
	if !ok {
		b.t.Fatalf("a %T is dialed", conn)
	}

	return made, b.far
}

// exchange sends a request and reads its answer, or waits for the deadline.
func (b *bench) exchange(conn *connection, server net.Conn, answer string, patience time.Duration) {
	b.t.Helper()

	go func() {
		_, _ = server.Read(make([]byte, 64))

		if answer != "" {
			_, _ = server.Write([]byte(answer))
		}
	}()

	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		b.t.Fatal(err)
	}

	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}

	_, _ = conn.Read(make([]byte, 64))
}

// mustBeSpent checks that the pool would discard exactly these connections.
func (b *bench) mustBeSpent(when string, want bool, conns ...*connection) {
	b.t.Helper()

	for i, conn := range conns {
		_, err := conn.SyscallConn()
		if got := err != nil; got != want {
			b.t.Errorf("%s: connection %d is spent: %t", when, i, got)
		}
	}
}

func TestF90ARefusalEndsAllConnectionsToTheAddressThatWereMadeBefore(t *testing.T) {
	for _, refusal := range []string{
		"-READONLY You can't write against a read only replica.\r\n", "-ERR READONLY You can't write\r\n",
		"-NOREPLICAS Not enough good replicas to write.\r\n", "-MISCONF Redis is configured to save RDB snapshots\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			one, server := b.dial("a:1")
			idle, _ := b.dial("a:1")
			elsewhere, _ := b.dial("b:1")

			for _, answer := range []string{"$9\r\n-READONLY\r\n", "-ERR unknown command\r\n", "-NOSCRIPT No matching script.\r\n", ":1\r\n"} {
				b.exchange(one, server, answer, time.Second)
			}

			b.mustBeSpent("after other answers", false, one, idle, elsewhere)

			b.exchange(one, server, refusal, time.Second)
			b.mustBeSpent("after a refusal", true, one, idle)
			b.mustBeSpent("after a refusal", false, elsewhere)

			if _, err := one.Write([]byte("PING\r\n")); err == nil {
				t.Error("something is sent on a connection that is spent")
			}

			next, server := b.dial("a:1")
			b.exchange(next, server, refusal, time.Second)
			b.mustBeSpent("at once after another refusal", false, next)

			time.Sleep(dropEvery)
			b.exchange(next, server, refusal, time.Second)
			b.mustBeSpent("later", true, next)
		})
	}
}

func TestF90ALateRefusalDoesNotEndNewerConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		one, first := b.dial("a:1")
		late, second := b.dial("a:1")
		late.sent.Store(b.routes.now())
		late.answering.Store(true) // its answer is on its way

		b.exchange(one, first, "-READONLY x\r\n", time.Second)

		fresh, _ := b.dial("a:1")

		time.Sleep(2 * dropEvery)

		go func() { _, _ = second.Write([]byte("-READONLY x\r\n")) }()

		_, _ = late.Read(make([]byte, 64))
		b.mustBeSpent("after a late refusal", false, fresh)
	})
}

func TestF91AnAnswerThatDoesNotComeEndsConnectionsThatHaveReceivedNothingSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		one, server := b.dial("a:1")
		idle, _ := b.dial("a:1")
		busy, busyServer := b.dial("a:1")
		elsewhere, _ := b.dial("b:1")

		time.Sleep(time.Minute)
		b.exchange(one, server, "", silence/2)
		b.mustBeSpent("after a deadline that is too short to prove anything", false, one, idle, busy, elsewhere)

		time.Sleep(time.Minute)

		done := make(chan struct{})

		go func() {
			defer close(done)

			b.exchange(one, server, "", time.Second)
		}()

		time.Sleep(time.Millisecond)
		b.exchange(busy, busyServer, ":1\r\n", time.Second)
		<-done

		b.mustBeSpent("after silence", true, one, idle)
		b.mustBeSpent("after silence", false, busy, elsewhere)

		fresh, _ := b.dial("a:1")
		b.mustBeSpent("after silence", false, fresh)
	})
}

func TestRoutesForgetAddressesThatNobodyUses(t *testing.T) {
	b := newBench(t)

	for i := range 2 * maxRoutes {
		b.routes.route(string(rune('a' + i)))
	}

	if n := len(b.routes.to); n > maxRoutes {
		t.Errorf("%d addresses are kept", n)
	}
}
