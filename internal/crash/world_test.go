//go:build unix

package crash

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync"
	"testing"

	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/crash/remotestore"
	"github.com/onlyonce-go/onlyonce/store"
)

// world is the environment of the servers: the store, the provider and the journal, on a port that the servers connect
// to. It also has the servers, which all end with the test.
type world struct {
	*journal
	*provider

	kept     kept
	operator *onlyonce.Engine // on the same store
	listener net.Listener

	mu        sync.Mutex
	processes []*process
}

func newWorld(t *testing.T, on keeper) *world {
	t.Helper()

	return newWorldIn(t, on.open(t))
}

func newWorldIn(t *testing.T, kept kept) *world {
	t.Helper()

	operator, err := onlyonce.New(kept.records, onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: patience}))
	if err != nil {
		t.Fatal(err)
	}

	var config net.ListenConfig

	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	w := &world{journal: newJournal(), provider: newProvider(), kept: kept, operator: operator, listener: listener}
	services := rpc.NewServer()

	if err := errors.Join(
		remotestore.Register(services, kept.records),
		services.RegisterName("Journal", w.journal),
		services.RegisterName("Provider", w.provider),
	); err != nil {
		t.Fatal(err)
	}

	var serving sync.WaitGroup

	serving.Go(func() { w.serve(services) })

	t.Cleanup(func() {
		close(w.over)
		listener.Close()
		serving.Wait()
	})
	t.Cleanup(func() { w.endAll(t) }) // before that

	return w
}

// serve answers servers until the listener is closed and they have ended.
func (w *world) serve(services *rpc.Server) {
	var conns sync.WaitGroup
	defer conns.Wait()

	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}

		conns.Go(func() { services.ServeConn(conn) })
	}
}

func identity(key string) onlyonce.Identity {
	return onlyonce.Identity{Scope: theScope, Method: pb.TestService_UnaryCall_FullMethodName, Key: key}
}

func (w *world) record(t *testing.T, key string) onlyonce.Record {
	t.Helper()

	rec, err := w.operator.Lookup(context.WithoutCancel(t.Context()), identity(key))
	if err != nil {
		t.Fatalf("Lookup of %s: %v", key, err)
	}

	return rec
}

// waitUnsettled returns the record of a key when its outcome is unknown.
func (w *world) waitUnsettled(t *testing.T, key string) onlyonce.Record {
	t.Helper()

	var rec onlyonce.Record

	eventually(t, "the outcome of "+key+" is unknown", func() bool {
		rec = w.record(t, key)

		return rec.Unknown
	})

	return rec
}

// mustHave checks how often the handler of a key has run and how often its effect has happened.
func (w *world) mustHave(t *testing.T, key string, runs, effects int) {
	t.Helper()

	if n := len(w.seen(atHandler, key)); n != runs {
		t.Errorf("the handler of %s ran %d times, want %d", key, n, runs)
	}

	if n := len(w.charged(key)); n != effects {
		t.Errorf("the effect of %s happened %d times, want %d", key, n, effects)
	}
}

// mustBe checks the stored record of a key.
func (w *world) mustBe(t *testing.T, key string, state store.State) onlyonce.Record {
	t.Helper()

	rec := w.record(t, key)
	if rec.State != state {
		t.Errorf("the record of %s is %v, want %v", key, rec.State, state)
	}

	return rec
}
