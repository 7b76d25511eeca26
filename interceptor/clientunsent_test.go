package interceptor_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// F75: an attempt that certainly reached no handler is retried, in every state of the server.
func TestF75_AttemptThatReachedNoHandlerIsRetried(t *testing.T) {
	for name, fails := range map[string]func(ctx context.Context) (net.Conn, error){
		"there is no connection": func(context.Context) (net.Conn, error) { return nil, context.DeadlineExceeded },
		"the stream is refused": func(context.Context) (net.Conn, error) {
			client, server := net.Pipe()
			go refuseStream(server)

			return client, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			book, seen := &ledger{}, &journal{}
			w := start(t, setup{unprotected: true}, book.charge)

			var dials atomic.Int32

			failed := make(chan struct{})
			over := sync.OnceFunc(func() { close(failed) })

			dial := append(mustDial(t, interceptor.WithMethods(unaryCall), patiently(), interceptor.WithAttemptObserver(
				func(ctx context.Context, a interceptor.Attempt) {
					seen.observe(ctx, a)
					over()
				})),
				grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
					if dials.Add(1) == 1 {
						return fails(ctx)
					}

					select {
					case <-failed:
						return w.listener.dial(ctx, addr)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}), soon())

			if _, err := pb.NewTestServiceClient(w.dial(t, dial...)).UnaryCall(t.Context(), order("1")); err != nil {
				t.Errorf("the order is not answered: %v", err)
			}

			if n := len(seen.seen()); n < 2 || book.of("1") != 1 {
				t.Errorf("%d attempts, %d charges", n, book.of("1"))
			}
		})
	}
}

// addressless is a connection without an address, as some tunnels are.
type addressless struct{ net.Conn }

func (addressless) RemoteAddr() net.Addr { return nil }

// F75: an attempt on a connection that has no address was sent.
func TestF75_AttemptOnAConnectionWithoutAnAddressWasSent(t *testing.T) {
	book := &ledger{}
	w, line := startLossy(t, setup{unprotected: true}, book.charge)
	line.lose(1)

	conn := w.dial(t, append(mustDial(t, interceptor.WithMethods(unaryCall), patiently()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			c, err := w.listener.dial(ctx, addr)

			return addressless{c}, err
		}), soon())...)

	for number, opts := range map[string][]grpc.CallOption{"1": nil, "2": {interceptor.WithoutRetry()}} {
		_, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), order(number), append(opts, grpc.WaitForReady(true))...)
		if n := book.of(number); n != 1 || onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
			t.Errorf("charged %d times, verdict %v: %v", n, onlyonce.VerdictOf(err), err)
		}
	}
}

// refuseStream is a server that refuses its first stream (RFC 9113, section 8.7) and ends. It first announces that it
// accepts no more streams. A stream that the client opens before the connection ends may count as sent.
func refuseStream(conn net.Conn) {
	defer conn.Close()

	const preface, frameHeader = len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 9

	buffer := make([]byte, 1<<16)
	if _, err := io.ReadFull(conn, buffer[:preface]); err != nil {
		return
	}

	_, _ = conn.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // SETTINGS

	for {
		if _, err := io.ReadFull(conn, buffer[:frameHeader]); err != nil {
			return
		}

		kind, stream := buffer[3], [4]byte(buffer[5:9])

		size := int(buffer[0])<<16 | int(buffer[1])<<8 | int(buffer[2])
		if _, err := io.ReadFull(conn, buffer[:size]); err != nil {
			return
		}

		if kind == 0 { // DATA: the request is here
			goAway := append([]byte{0, 0, 8, 7, 0, 0, 0, 0, 0}, stream[:]...)
			goAway = append(goAway, 0, 0, 0, 0)
			refused := append([]byte{0, 0, 4, 3, 0}, stream[:]...)
			_, _ = conn.Write(slices.Concat(goAway, refused, []byte{0, 0, 0, 7}))

			return
		}
	}
}

// F75: an error page of an HTTP proxy is no answer of a server. It is retried if the method is confirmed, and changes nothing.
func TestF75_HTTPErrorOfAProxyChangesNothing(t *testing.T) {
	page := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>no upstream</html>", http.StatusServiceUnavailable)
	}))
	page.Config.Protocols = new(http.Protocols)
	page.Config.Protocols.SetUnencryptedHTTP2(true)
	page.Start()
	t.Cleanup(page.Close)

	var (
		mu   sync.Mutex
		down bool
	)

	set := func(to bool) {
		mu.Lock()
		defer mu.Unlock()

		down = to
	}

	reported := &report{}
	w := start(t, setup{tcp: true}, nil)

	pages := 0
	dial := append(mustDial(t, interceptor.WithAllMethods(), patiently(), reported.option(), interceptor.WithAttemptObserver(
		func(_ context.Context, a interceptor.Attempt) {
			if strings.Contains(fmt.Sprint(a.Err), "503") {
				pages++

				set(false)
				page.CloseClientConnections()
			}
		})),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()

			if down { // a proxy takes the server's address
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", page.Listener.Addr().String())

				return standIn{conn, w.listener.Addr()}, err
			}

			return w.listener.dial(ctx, addr)
		}), soon())
	conn := w.dial(t, dial...)

	callOn(t.Context(), conn, unaryCall, payment()).mustHaveStatus(t, onlyonce.StatusExecuted)
	set(true)
	w.listener.cut()

	a := callOn(t.Context(), conn, unaryCall, payment(), grpc.WaitForReady(true))
	if a.err != nil || pages == 0 {
		t.Errorf("the answer is %v, %v, after %d pages", a.resp, a.err, pages)
	}

	reported.mustHave(t, 0)
}

// standIn is a connection that seems to lead elsewhere.
type standIn struct {
	net.Conn

	to net.Addr
}

func (s standIn) RemoteAddr() net.Addr { return s.to }
