//go:build unix

package sqlcrash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// stepsOfALife is the largest number of steps before a server kills itself. A call has four.
	stepsOfALife = 60
	// laterAtMost is how much later it dies, which may be in the middle of a statement, or of a commit.
	laterAtMost = 3 * time.Millisecond
	// endurance is how long a caller insists on an answer.
	endurance = 4 * patience
	// shoppers is the number of concurrent callers, without those that repeat a call.
	shoppers = 6
)

// fleet is some servers that are killed and started again until the kills are used up.
type fleet struct {
	world *world
	slots []atomic.Pointer[process]
	left  atomic.Int64 // kills
	lives sync.WaitGroup
	over  chan struct{} // closed when the kills are over

	mu     sync.Mutex
	failed error
}

func newFleet(t *testing.T, w *world, policy onlyonce.Policy, size, kills int) *fleet {
	t.Helper()

	f := &fleet{world: w, slots: make([]atomic.Pointer[process], size), over: make(chan struct{})}
	f.left.Store(int64(kills))

	var ready sync.WaitGroup

	ready.Add(size)

	for i := range f.slots {
		f.lives.Go(func() { f.live(i, policy, sync.OnceFunc(ready.Done)) })
	}

	ready.Wait()

	go func() {
		f.lives.Wait()
		close(f.over)
	}()

	return f
}

// live lets a server die and live again. The last life has no end.
func (f *fleet) live(slot int, policy onlyonce.Policy, ready func()) {
	defer ready()

	for {
		config := serverConfig{Policy: policy}
		if f.left.Add(-1) >= 0 {
			config.DieAt, config.DieAfter = 1+rand.Int64N(stepsOfALife), rand.N(laterAtMost)
		} else {
			config.Policy.Lease = shortLease // so that a slow machine comes to an end
		}

		p, err := f.world.launch(config)
		if err != nil {
			f.mu.Lock()
			f.failed = err
			f.mu.Unlock()

			return
		}

		f.slots[slot].Store(p)
		ready()

		if config.DieAt == 0 {
			return
		}

		<-p.child.Ended()
	}
}

// some is a random server, alive or dead.
func (f *fleet) some() client { return f.slots[rand.IntN(len(f.slots))].Load().client }

// retryUntilFinal asks servers until one gives a final answer.
func (f *fleet) retryUntilFinal(ctx context.Context, p purchase) (got answer, err error) {
	// On a slow machine, many a run loses its short lease until the kills are over.
	for deadline := time.Now().Add(endurance); ; {
		got = f.some().call(ctx, p.method, p.key, order(p.declined))

		switch reason := got.reason(); {
		case got.final():
			return got, nil
		case reason != "" && reason != onlyonce.ReasonInProgress && reason != onlyonce.ReasonStoreUnavailable &&
			reason != onlyonce.ReasonLeaseLost && reason != onlyonce.ReasonStoreFull:
			return got, fmt.Errorf("%s was answered with %w", p.key, got.err)
		case time.Now().After(deadline):
			return got, fmt.Errorf("%s has no answer in %v: %w", p.key, endurance, got.err)
		}

		timer := time.NewTimer(rand.N(20 * time.Millisecond)) // as clients do
		<-timer.C
	}
}

// purchase is an order that somebody insists on.
type purchase struct {
	key      string
	method   method
	declined bool
}

// ledger collects the answers of all callers.
type ledger struct {
	mu      sync.Mutex
	all     []purchase
	answers map[string][]answer
}

func newLedger() *ledger { return &ledger{answers: make(map[string][]answer)} }

func (l *ledger) note(p purchase, got answer) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.answers[p.key] == nil {
		l.all = append(l.all, p)
	}

	l.answers[p.key] = append(l.answers[p.key], got)
}

// size is how many orders were answered.
func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.all)
}

// old is an order that was answered, if there is one.
func (l *ledger) old() (p purchase, found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if len(l.all) == 0 {
		return purchase{}, false
	}

	return l.all[rand.IntN(len(l.all))], true
}

// shop lets callers order from a fleet until over. Some orders are sent twice at once, and some earlier ones again.
func (f *fleet) shop(t *testing.T, l *ledger, over <-chan struct{}) {
	t.Helper()

	ways := methods()
	ctx := context.WithoutCancel(t.Context())

	var all sync.WaitGroup

	for shopper := range shoppers {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}

				p := purchase{
					key: fmt.Sprintf("order-%d-%d", shopper, n), method: ways[rand.IntN(len(ways))], declined: rand.IntN(5) == 0,
				}
				if known, found := l.old(); found && rand.IntN(4) == 0 {
					p = known
				}

				var callers sync.WaitGroup

				for range 1 + rand.IntN(2) {
					callers.Go(func() {
						got, err := f.retryUntilFinal(ctx, p)
						if err != nil {
							t.Error(err)

							return
						}

						l.note(p, got)
					})
				}

				callers.Wait()
			}
		})
	}

	all.Wait()
}

// mustBeTrue checks that the answers agree with the tables, and with an answer given without faults.
func (l *ledger) mustBeTrue(t *testing.T, f *fleet) {
	t.Helper()

	w := f.world
	rows := w.rows(t)
	accepted := 0

	for _, p := range l.all {
		last, err := f.retryUntilFinal(t.Context(), p)
		if err != nil {
			t.Error(err)
		}

		if last.status() != onlyonce.StatusReplayed {
			t.Errorf("%s ran in peace: %q", p.key, last.status())
		}

		for _, got := range l.answers[p.key] {
			if !w.mayForget(got) {
				got.mustEqual(t, last)
			}
		}

		w.mustBe(t, p.method, p.key, store.Completed)

		switch have := rows[p.key]; {
		case p.declined && len(have) == 0:
		case p.declined:
			t.Errorf("%s was declined and has the rows %v", p.key, have)
		case len(have) != 1 || have[0] != last.resp.GetUsername():
			t.Errorf("%s was answered by run %s and has the rows %v", p.key, last.resp.GetUsername(), have)
		default:
			accepted++
		}
	}

	if accepted != len(rows) {
		t.Errorf("%d orders were accepted, and %d have rows", accepted, len(rows))
	}

	if n := w.records(t); n != len(l.all) {
		t.Errorf("%d orders have %d records", len(l.all), n)
	}
}

func (f *fleet) mustBeWell(t *testing.T) {
	t.Helper()

	f.mu.Lock()
	defer f.mu.Unlock()

	if f.failed != nil {
		t.Fatal(f.failed)
	}
}

func TestF01F02F05EveryOrderHasOneRowAndOneRecordAlthoughServersAreKilled(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		share := map[string]int{"PostgreSQL": 1, "MariaDB": 2, "MySQL": 2, "SQLite": 10}[k.name]
		w := newWorld(t, k)
		f := newFleet(t, w, loaded(), 2, *kills/share)
		l := newLedger()

		f.shop(t, l, f.over)
		f.mustBeWell(t)
		l.mustBeTrue(t, f)
		t.Logf("%d kills, %d orders", *kills/share, len(l.all))
	})
}
