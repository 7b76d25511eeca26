package wires_test

import (
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The bytes of one record replace those of another. The answer of one key must never appear under the other.
func TestF36OutcomesThatAreSwappedBetweenKeysAreUnreadable(t *testing.T) {
	for _, w := range wires() {
		t.Run(w.name, func(t *testing.T) {
			s := w.stage(t, setup{store: swapping()})

			first := s.pay("ann")
			s.mustBe(first, onlyonce.StatusExecuted)
			s.mustBe(s.pay("bob"), onlyonce.StatusExecuted)

			s.mustBeReplayOf(s.pay("ann"), first)
			s.mustBeRejected(s.pay("bob"), recordUnreadable)
			s.mustHaveRun(2)
		})
	}
}

// pairOfInstances is a client whose server is replaced by another one at the same address.
type pairOfInstances struct {
	*testing.T

	wire   *clientWire
	before *server
	after  *server
	send   *clientStage
}

// instances starts the first server and a client. All servers have one store.
func (w *clientWire) instances(t *testing.T, second setup) *pairOfInstances {
	t.Helper()

	second.store = memstore.New()
	before, after := newServer(t, setup{store: second.store}), newServer(t, second)
	after.address = w.serve(t, before)

	send := w.dial(t, after.address, clientSettings{
		policy:    retry.Policy{MaxAttempts: 2, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond},
		observers: observers{mu: new(sync.Mutex)},
	})

	return &pairOfInstances{t, w, before, after, &clientStage{T: t, server: before, send: send}}
}

// swap replaces the server, and waits until the client has reached the new one with a payment.
func (p *pairOfInstances) swap(key string, reached func(r reaction) bool) {
	p.Helper()

	p.before.stop()
	p.wire.serve(p.T, p.after)

	until(p.T, "the server after", func() bool { return reached(p.send.pay(key)) })
}

func TestF05AnInstanceThatIsSwappedBehindTheClientReplaysTheAnswer(t *testing.T) {
	wires := clientWires()

	for i := range wires {
		t.Run(wires[i].name, func(t *testing.T) {
			p := wires[i].instances(t, setup{})
			p.send.mustPay("key")
			p.swap("key", func(r reaction) bool { return r.ok })

			if first, second := p.before.runs.Load(), p.after.runs.Load(); first != 1 || second != 0 {
				t.Errorf("the handler ran %d and %d times, want 1 and 0", first, second)
			}
		})
	}
}

// The first answer of an instance without the kit ends the confirmation that another instance has given.
func TestF58AnInstanceWithoutTheKitThatIsSwappedBehindTheClientGetsNoRetries(t *testing.T) {
	wires := clientWires()

	for i := range wires {
		t.Run(wires[i].name, func(t *testing.T) {
			p := wires[i].instances(t, setup{plain: true, work: failing(codes.Internal)})
			p.send.mustPay("before")
			p.swap("during", func(reaction) bool { return p.after.runs.Load() > 0 })

			if runs := p.after.runs.Load(); runs != 1 {
				t.Errorf("the handler ran %d times for one call, want 1", runs)
			}

			p.after.front.becomes(frontLoses)

			if r := p.send.pay("key"); r.verdict != onlyonce.VerdictUnknown || len(r.tries) != 1 || p.after.runs.Load() != 2 {
				t.Errorf("%+v, and the handler ran %d times; want one attempt of unknown verdict", r, p.after.runs.Load()-1)
			}
		})
	}
}
