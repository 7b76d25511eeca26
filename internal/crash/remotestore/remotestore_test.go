package remotestore_test

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/crash/remotestore"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns a client of a store that is served on the other end of a TCP connection.
func connect(t *testing.T, backend remotestore.Backend) *rpc.Client {
	t.Helper()

	server := rpc.NewServer()
	if err := remotestore.Register(server, backend); err != nil {
		t.Fatal(err)
	}

	var config net.ListenConfig

	// The listener must outlive the test's context, because it ends with the test's cleanups.
	listener, err := config.Listen(context.WithoutCancel(t.Context()), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}

	var served sync.WaitGroup

	served.Go(func() { server.ServeConn(accepted) })

	client := rpc.NewClient(conn)

	t.Cleanup(func() {
		client.Close()
		served.Wait()
	})

	return client
}

// Clients of one store, each on a connection of its own, keep the contract of the store behind them.
func TestContract(t *testing.T) {
	shared := memstore.New()

	storetest.Run(t, func(t *testing.T) store.Store {
		t.Helper()

		return remotestore.New(connect(t, shared), time.Minute)
	}, storetest.WithUnit(40*time.Millisecond))
}

// failing is a store whose claims fail.
type failing struct {
	*memstore.Store

	err error
}

func (f failing) Claim(context.Context, store.Claim) (store.Result, error) {
	return store.Result{}, f.err
}

func TestErrorsKeepWhatTheyMatch(t *testing.T) {
	sentinels := []error{store.ErrFull, store.ErrUnreadable, store.ErrNewer}

	for _, sent := range append(sentinels, errors.New("another problem")) {
		_, err := remotestore.New(connect(t, failing{memstore.New(), sent}), time.Minute).Claim(t.Context(), store.Claim{})
		if err == nil {
			t.Fatalf("a claim whose store says %q has no error", sent)
		}

		for _, sentinel := range sentinels {
			if got, want := errors.Is(err, sentinel), errors.Is(sent, sentinel); got != want {
				t.Errorf("the store says %q: the client's error matches %q: %t, want %t", sent, sentinel, got, want)
			}
		}
	}
}

// stuck is a store whose claims wait until the test is over.
type stuck struct {
	*memstore.Store

	over chan struct{}
}

func (s stuck) Claim(context.Context, store.Claim) (store.Result, error) {
	<-s.over

	return store.Result{}, nil
}

func TestAnOperationEndsWithItsTimeout(t *testing.T) {
	backend := stuck{memstore.New(), make(chan struct{})}
	conn := connect(t, backend)
	impatient, patient := remotestore.New(conn, 10*time.Millisecond), remotestore.New(conn, time.Minute)

	defer close(backend.over)

	if _, err := impatient.Claim(t.Context(), store.Claim{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a claim that is not answered: %v", err)
	}

	if _, err := patient.Lookup(t.Context(), store.Key{}); err != nil {
		t.Errorf("another operation on the connection: %v", err)
	}
}
