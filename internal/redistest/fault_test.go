//go:build unix

package redistest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

func TestALostReplyWasSentByTheServer(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	proxy := NewProxy(t, s.Addr())
	lost := proxy.Next(LostReply, Named("INCR"))

	if err := dial(t, proxy).Incr(t.Context(), "n").Err(); err == nil {
		t.Error("the reply was lost, and the client has it")
	}

	lost.Wait()
	holds(t, s, "n", "1")
}

func TestAClientThatResendsAfterALostReplyDoesItTwice(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	proxy := NewProxy(t, s.Addr())
	lost := proxy.Next(LostReply, Named("n"))

	if got, err := dial(t, proxy, retrying).Incr(t.Context(), "n").Result(); got != 2 {
		t.Errorf("got %d, %v", got, err)
	}

	if got := fmt.Sprint(faultsOf(proxy.Commands())); got != "[lost reply passed]" || lost.Count() != 1 {
		t.Errorf("commands: %v, lost %d", got, lost.Count())
	}
}

func faultsOf(commands []Command) (faults []Fault) {
	for _, c := range commands {
		faults = append(faults, c.Fault)
	}

	return faults
}

func TestALostRequestDoesNotReachTheServer(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	proxy := NewProxy(t, s.Addr())
	proxy.Next(LostRequest, Named("incr"))

	client := dial(t, proxy)

	if err := client.Incr(t.Context(), "n").Err(); err == nil {
		t.Error("the request was lost, and there is a reply")
	}

	holds(t, s, "n", "")

	if got, err := client.Incr(t.Context(), "n").Result(); got != 1 {
		t.Errorf("the next one: %d, %v", got, err)
	}
}

func TestAFaultInAPipelineLeavesWhatIsBefore(t *testing.T) {
	t.Parallel()

	for fault, reached := range map[Fault]string{LostReply: "1", LostRequest: "", Late: ""} {
		s := Standalone(t)
		proxy := NewProxy(t, s.Addr())
		armed := proxy.Next(fault, Named("b"))

		got := exchange(t, proxy, "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n")
		if fault == LostReply && got != ":1\r\n" {
			t.Errorf("the replies before the lost one: %q", got)
		}

		armed.Wait()
		servertest.Wait(t, "the first arrives", func() error { return s.Client().Get(t.Context(), "a").Err() })

		if fault == LostReply {
			servertest.Wait(t, "the last arrives", func() error { return s.Client().Get(t.Context(), "c").Err() })
		}

		holds(t, s, "b", reached)
		holds(t, s, "c", reached)

		if fault == Late {
			armed.Deliver()
			holds(t, s, "b", "1")
			holds(t, s, "c", "1")
		}
	}
}

// exchange sends requests, and returns all replies until the connection is cut.
func exchange(t *testing.T, proxy *Proxy, requests string) string {
	t.Helper()

	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	if err := conn.SetDeadline(time.Now().Add(servertest.Patience)); err != nil {
		t.Fatal(err)
	}

	if _, err := conn.Write([]byte(requests)); err != nil {
		t.Fatal(err)
	}

	replies, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}

	return string(replies)
}

func TestALateRequestArrivesWhenItIsDelivered(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	proxy := NewProxy(t, s.Addr())
	late := proxy.Every(Late, Named("incr"))

	if err := dial(t, proxy, retrying).Incr(t.Context(), "n").Err(); err == nil {
		t.Error("the request is late, and there is a reply")
	}

	holds(t, s, "n", "")
	proxy.Cut() // which does not reach it any more

	if got := fmt.Sprintf("%q", late.Deliver()); got != `[":1\r\n" ":2\r\n" ":3\r\n" ":4\r\n"]` {
		t.Errorf("the server replied %s", got)
	}

	holds(t, s, "n", "4")
}

func TestALateRequestToADeadServerIsLost(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	proxy := NewProxy(t, s.Addr())
	late := proxy.Next(Late, Any())

	if err := dial(t, proxy).Incr(t.Context(), "n").Err(); err == nil {
		t.Error("the request is late, and there is a reply")
	}

	s.Restart()

	if got := late.Deliver(); len(got) != 1 || got[0] != "" {
		t.Errorf("the server replied %q", got)
	}

	holds(t, s, "n", "")
}

func TestAHungConnectionHoldsItsReplyForEver(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	proxy := NewProxy(t, s.Addr())
	client := dial(t, proxy, func(o *redis.Options) { o.ReadTimeout = -1 })
	hung := proxy.Next(Hung, Named("incr"))

	done := make(chan error, 1)
	go func() { done <- client.Incr(t.Context(), "n").Err() }()

	hung.Wait()
	holds(t, s, "n", "1")

	select {
	case err := <-done:
		t.Fatalf("the connection hangs, and the client is told %v", err)
	case <-time.After(50 * time.Millisecond):
	}

	if got, err := client.Incr(t.Context(), "n").Result(); got != 2 {
		t.Errorf("another connection: %d, %v", got, err)
	}

	proxy.Cut()

	if err := <-done; err == nil {
		t.Error("the connection was cut, and there is a reply")
	}
}

// recorder is a test whose errors and cleanups are looked at.
type recorder struct {
	testing.TB

	cleanup func()
	errors  []string
}

func (r *recorder) Cleanup(f func()) { r.cleanup = f }

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestAClientWithAnotherProtocolFailsTheTest(t *testing.T) {
	t.Parallel()

	r := &recorder{TB: t}
	proxy := NewProxy(r, Standalone(t).Addr())

	if got := exchange(t, proxy, "GET / HTTP/1.1\r\n"); got != "" {
		t.Errorf("there is an answer: %q", got)
	}

	r.cleanup()

	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "GET /") {
		t.Errorf("reported: %q", r.errors)
	}
}
