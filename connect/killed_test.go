package onceconnect_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/crash/remotestore"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The environment of a server that is a process of its own.
const (
	storeAddress = "ONLYONCE_TEST_CONNECT_STORE"
	dies         = "ONLYONCE_TEST_CONNECT_DIES" // after its first record
)

// dyingStore kills its process as soon as an outcome is recorded.
type dyingStore struct {
	*remotestore.Client

	process *os.Process
}

func (s dyingStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	res, err := s.Client.Complete(ctx, op)
	if err == nil {
		_ = s.process.Signal(syscall.SIGKILL)

		<-ctx.Done() // the signal comes first
	}

	return res, err
}

// serverMain is the main function of a server process. It prints its URL.
func serverMain() error {
	conn, err := rpc.Dial("tcp", os.Getenv(storeAddress))
	if err != nil {
		return err
	}

	records := store.Store(remotestore.New(conn, time.Minute))

	if os.Getenv(dies) != "" {
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}

		records = dyingStore{remotestore.New(conn, time.Minute), self}
	}

	engine, err := onlyonce.New(records)
	if err != nil {
		return err
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return err
	}

	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	s := &shop{pay: func(context.Context, *payRequest) (*payResponse, error) {
		resp := connect.NewResponse(&shopv1.PayResponse{Receipt: "of " + strconv.Itoa(os.Getpid())})
		resp.Header().Set("X-Header", "h")
		resp.Trailer().Set("X-Trailer", "t")

		return resp, nil
	}}

	server := &http.Server{
		Handler: onceconnect.Handler(s.routes(connect.WithInterceptors(onceconnect.NewServer(protect)))), Protocols: new(http.Protocols),
		ReadHeaderTimeout: time.Minute,
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)

	_, _ = fmt.Fprintln(os.Stdout, "http://"+listener.Addr().String())

	return server.Serve(listener)
}

// startServer starts a server process whose records are in the test process, and returns its URL.
func startServer(t *testing.T, records string, env ...string) (*servertest.Child, string) {
	t.Helper()

	cmd := exec.Command(must(os.Executable())(t))
	cmd.Env = append(append(os.Environ(), storeAddress+"="+records), env...)
	cmd.Stderr = os.Stderr

	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}

	cmd.Stdout = in

	child := must(servertest.Start(cmd))(t)
	_ = in.Close()

	t.Cleanup(func() {
		child.Kill()

		<-child.Ended()

		_ = out.Close()
	})

	line := must(bufio.NewReader(out).ReadString('\n'))(t)

	return child, strings.TrimSpace(line)
}

// countedStore counts the completions that arrive. A completion whose answer takes too long is sent again.
type countedStore struct {
	*memstore.Store

	completed atomic.Int64
}

// Complete implements [store.Store].
func (s *countedStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	res, err := s.Store.Complete(ctx, op)
	if err == nil {
		s.completed.Add(1)
	}

	return res, err
}

// serveRecords serves a store to other processes.
func serveRecords(t *testing.T) (s *countedStore, address string) {
	t.Helper()

	s = &countedStore{Store: memstore.New()}

	server := rpc.NewServer()
	if err := remotestore.Register(server, s); err != nil {
		t.Fatal(err)
	}

	listener := must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { _ = listener.Close() })

	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			go server.ServeConn(conn) // ends with the other process
		}
	}()

	return s, listener.Addr().String()
}

func TestF05AServerIsKilledBetweenTheRecordAndTheReply(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			kept, records := serveRecords(t)
			killed, url := startServer(t, records, dies+"=1")

			lost := dialOnce(t, url, opts).payKeyed(onceconnect.ContextWithoutRetry(t.Context()), "")
			if onlyonce.VerdictOf(lost.err) != onlyonce.VerdictUnknown {
				t.Fatalf("got %+v", lost)
			}

			<-killed.Ended()

			if kept.completed.Load() == 0 {
				t.Fatal("the server was killed too early: no outcome is recorded")
			}

			_, url = startServer(t, records)

			for range 2 {
				got := dial(t, url, opts...).payKeyed(t.Context(), interceptor.KeyOf(lost.err)).must(t, onlyonce.StatusReplayed)
				if got.receipt != "of "+strconv.Itoa(killed.PID()) || got.header.Get("X-Header") != "h" || got.trailer.Get("X-Trailer") != "t" {
					t.Errorf("got %+v, the killed server is %d", got, killed.PID())
				}
			}
		})
	}
}
