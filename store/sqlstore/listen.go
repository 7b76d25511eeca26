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

// Listener receives the notifications of PostgreSQL. database/sql cannot, because a listener needs its own connection.
type Listener interface {
	// Listen executes LISTEN on a channel. It calls notify with an empty payload once it listens, and then with the payload of every
	// notification. It returns an error when the connection is lost or ctx ends. The name of the channel needs no quotes. Calls of notify
	// return at once, and may come from any goroutine until Listen returns.
	Listen(ctx context.Context, channel string, notify func(payload string)) error
}

// ListenerFunc is a function that implements Listener.
type ListenerFunc func(ctx context.Context, channel string, notify func(payload string)) error

// Listen calls f.
func (f ListenerFunc) Listen(ctx context.Context, channel string, notify func(payload string)) error {
	return f(ctx, channel, notify)
}

// Notified is a Store whose processes notify each other when a record stops running, so that duplicates in other processes poll less often.
// It is a [store.Notifier].
//   - A notification costs one statement for every leased run that ends.
//   - A lost notification costs duplicates the time of a poll, never an answer.
//   - A joined run sends its notification with its completion, in the handler's transaction and without another statement. PostgreSQL
//     delivers it after the commit. It commits transactions with notifications one after the other, and cannot PREPARE them.
//   - Duplicates of a single transaction wait in the database and need no notification.
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

// watch is the channel that all watchers of a key share.
type watch struct {
	changed chan struct{}
	holders int
}

// relisten is Run's first pause before it listens again after a lost connection.
const relisten = time.Second

// errListenerEnded is the error of a listener that returned without an error.
var errListenerEnded = errors.New("sqlstore: listen: the Listener returned without an error: it must listen until its context ends")

// Notify returns the store with notifications, for onlyonce.New. All processes on one table should use it. Call its Run: watchers are
// notified only while Run runs. Notify returns an error for databases other than PostgreSQL, and for a nil Listener.
func (s *Store) Notify(l Listener) (*Notified, error) {
	if s.dialect != PostgreSQL || l == nil {
		return nil, errors.New("sqlstore: Notify: it needs PostgreSQL and a Listener: leave it out for other databases")
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

// Run sweeps as [Store.Run] does, and also listens, until ctx ends. Then it returns nil. After a lost connection it listens again a second
// later, and then after twice as long each time, up to a minute.
//
// A sweep that fails for ever, such as for a missing right, does not end Run, because listening is useful without sweeps. Run tries again
// at most a minute later, or after the interval of [WithSweep] if that is longer. The observer of [WithObserver], or the log, gets every
// failure and every lost connection. Run returns an error only if the database handle is closed.
func (n *Notified) Run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)

	var listening sync.WaitGroup

	listening.Go(func() { n.listen(ctx) })
	defer listening.Wait()
	defer end()

	return n.run(ctx, func(failures, time.Time) bool { return false })
}

// listen listens until ctx ends. Duplicates poll while it does not.
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

// heard wakes the watchers of the key in a payload. An empty payload wakes all watchers, because notifications may have been missed.
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
		return // from somebody else
	}

	if _, err := hex.Decode(key[:], []byte(payload)); err == nil {
		n.wake(key)
	}
}

// wake wakes the watchers of a key. The caller holds the lock.
func (n *Notified) wake(key store.Key) {
	if w := n.watches[key]; w != nil {
		close(w.changed)
		delete(n.watches, key)
	}
}

// announce notifies all processes, also this one, that a record has stopped running. It tries once: a lost notification costs only a poll.
func (s *Store) announce(ctx context.Context, key *store.Key, res *store.Result, err error) {
	if s.channel == "" || err != nil || !res.Applied || res.Record.State == store.Running {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	at := s.pool()
	_, _ = at.ExecContext(ctx, s.sql.notify, s.channel, key.String())
}
