package sqlstore

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Listener receives the notifications of PostgreSQL, for which database/sql has no way: it needs a connection of its own.
type Listener interface {
	// Listen executes LISTEN on a channel, calls notify with an empty payload as soon as it listens, and then with the payload of
	// every notification. It returns an error when the connection is lost, and when ctx ends. The channel is a name that
	// needs no quotes. Calls of notify return at once, and may come from any goroutine until Listen returns.
	Listen(ctx context.Context, channel string, notify func(payload string)) error
}

// ListenerFunc is a function that is a Listener.
type ListenerFunc func(ctx context.Context, channel string, notify func(payload string)) error

// Listen calls the function.
func (f ListenerFunc) Listen(ctx context.Context, channel string, notify func(payload string)) error {
	return f(ctx, channel, notify)
}

// Notified is a store whose processes notify each other when a record does not run any more, so that duplicates in other processes need
// not poll. It is a [store.Notifier]. A notification costs one more statement for every leased run that ends. A lost notification costs
// the waiting duplicates the time of a poll, and never an answer.
//
// A joined run sends its notification with its completion, in the handler's transaction and without another statement. PostgreSQL delivers
// it after the commit, commits transactions with notifications one after the other, and does not PREPARE them. Duplicates of a single
// transaction wait in the database for its end, and need no notification.
type Notified struct {
	*Store

	listener Listener

	mu      sync.Mutex
	watches map[store.Key]*watch
}

var (
	_ store.Store    = (*Notified)(nil)
	_ store.Notifier = (*Notified)(nil)
)

// watch is one channel for all who watch a key.
type watch struct {
	changed chan struct{}
	holders int
}

// relisten is how long Run waits at first before it listens again, where the connection was lost.
const relisten = time.Second

// errListenerEnded says that a listener has returned without an error, which is an end all the same.
var errListenerEnded = errors.New("sqlstore: the listener has ended without an error")

// Notify returns the store with notifications, which all processes on the same table should use. It fails for other databases than
// PostgreSQL. What the listener hears reaches the waiters while Run runs.
func (s *Store) Notify(l Listener) (*Notified, error) {
	if s.dialect != PostgreSQL || l == nil {
		return nil, errors.New("sqlstore: Notify needs PostgreSQL and a listener; other databases are polled")
	}

	n := &Notified{listener: l, watches: make(map[store.Key]*watch)}

	own := *s
	own.channel = s.at.channel()
	n.Store = &own

	return n, nil
}

// Capabilities implements [store.Store].
func (n *Notified) Capabilities() store.Capabilities {
	all := n.Store.Capabilities()
	all.Inspector, all.Lister, all.Forgetter, all.Notifier, all.Transactional = n, n, n, n, n

	return all
}

// Run sweeps as Store.Run does, and listens besides, until ctx ends. If the connection of the listener is lost, Run listens again a second
// later, and then after twice as long each time, up to a minute.
//
// Sweeps that cannot work, such as for a missing right, do not end Run, because the listening is of use without them. Run goes on trying
// them, up to a minute apart, or the interval of [WithSweep] if that is longer. The observer of [WithObserver], or else the log, gets each
// failure and each loss. Run returns an error only if the handle is closed.
func (n *Notified) Run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)

	var listening sync.WaitGroup

	listening.Go(func() { n.listen(ctx) })
	defer listening.Wait()
	defer end()

	return n.run(ctx, func(failures, time.Time) bool { return false })
}

// listen listens until ctx ends. Polling goes on behind it.
func (n *Notified) listen(ctx context.Context) {
	for failures := 0; ; {
		var began atomic.Bool

		err := n.listener.Listen(ctx, n.channel, func(payload string) {
			if payload == "" && began.CompareAndSwap(false, true) {
				n.observed.Listening(ctx, nil)
				n.observed.Log(ctx, "listening", failures, nil, "table", n.table.String())
			}

			n.heard(payload)
		})
		if ctx.Err() != nil {
			return
		}

		if err == nil {
			err = errListenerEnded
		}

		if began.Load() {
			failures = 0
		}

		failures++

		retry := jittered(backedOff(relisten, failures))

		n.observed.Listening(ctx, err)
		n.observed.Log(ctx, "listening", failures, err, "table", n.table.String(), "retry", retry)

		if !sleep(ctx, retry) {
			return
		}
	}
}

// Watch implements [store.Notifier].
func (n *Notified) Watch(key store.Key) (changed <-chan struct{}, stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()

	w := n.watches[key]
	if w == nil {
		w = &watch{changed: make(chan struct{})}
		n.watches[key] = w
	}

	w.holders++

	return w.changed, func() { n.unwatch(key, w) }
}

func (n *Notified) unwatch(key store.Key, w *watch) {
	n.mu.Lock()
	defer n.mu.Unlock()

	w.holders--
	if w.holders == 0 && n.watches[key] == w {
		delete(n.watches, key)
	}
}

// heard wakes those who watch the key of a payload. Where something may have been missed that is everybody.
func (n *Notified) heard(payload string) {
	n.mu.Lock()
	defer n.mu.Unlock()

	if payload == "" {
		for key := range n.watches {
			n.wake(key)
		}

		return
	}

	var key store.Key
	if len(payload) != hex.EncodedLen(len(key)) {
		return // it is not ours
	}

	if _, err := hex.Decode(key[:], []byte(payload)); err == nil {
		n.wake(key)
	}
}

// wake is called with the lock.
func (n *Notified) wake(key store.Key) {
	if w := n.watches[key]; w != nil {
		close(w.changed)
		delete(n.watches, key)
	}
}

// announce notifies all processes, this one included, that a record does not run any more. It tries once: a lost notification costs a poll.
func (s *Store) announce(ctx context.Context, key *store.Key, res *store.Result, err error) {
	if s.channel == "" || err != nil || !res.Applied || res.Record.State == store.Running {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	at := s.pool()
	_, _ = at.ExecContext(ctx, s.sql.notify, s.channel, key.String())
}
