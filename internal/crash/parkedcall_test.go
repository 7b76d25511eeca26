//go:build unix

package crash

import (
	"testing"
	"time"

	pb "google.golang.org/grpc/interop/grpc_testing"
)

// parkedCall is a call in the background whose server stops on the way, until it is released.
type parkedCall struct {
	key    string
	parked *trap
	call   func() <-chan answer
	caller <-chan answer
}

// beginAt starts a payment whose server will be parked at a point.
func (w *world) beginAt(t *testing.T, server string, c client, at point, key string) *parkedCall {
	t.Helper()

	return w.beginAtWith(t, server, c, at, key, payment())
}

// beginAtWith is beginAt with another request.
func (w *world) beginAtWith(t *testing.T, server string, c client, at point, key string, req *pb.SimpleRequest) *parkedCall {
	t.Helper()

	call := func() <-chan answer { return c.beginWith(t, key, req) }
	parked := w.park(server, at, key)

	return &parkedCall{key: key, parked: parked, call: call, caller: call()}
}

// parkAt starts a payment, and returns when its server is parked.
func (w *world) parkAt(t *testing.T, server string, c client, at point, key string) *parkedCall {
	t.Helper()

	p := w.beginAt(t, server, c, at, key)
	p.wait(t)

	return p
}

// wait returns when the server is parked. On a busy machine, the answer to a claim may come too late. Then nothing has
// run, and wait makes the call again, as callers do.
func (p *parkedCall) wait(t *testing.T) Visit {
	t.Helper()

	timer := time.NewTimer(patience)
	defer timer.Stop()

	for {
		select {
		case v := <-p.parked.visit:
			return v
		case got := <-p.caller:
			if !got.cameTooLate() {
				t.Fatalf("server %s was not %s with key %q, and answered with %q and %v",
					p.parked.server, p.parked.at, p.key, got.status(), got.err)
			}

			p.caller = p.call()
		case <-timer.C:
			t.Fatalf("server %s did not come to be %s with key %q", p.parked.server, p.parked.at, p.key)
		}
	}
}

func (p *parkedCall) release() { p.parked.release() }

// finish releases nothing, and waits for the answer.
func (p *parkedCall) finish(t *testing.T) answer {
	t.Helper()

	return finish(t, p.caller)
}
