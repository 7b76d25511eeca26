package redisstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/report"
	"github.com/onlyonce-go/onlyonce/store"
)

// Client is what the store needs of go-redis. *redis.Client, *redis.ClusterClient, the client of redis.NewFailoverClient and
// *redis.AutoPipeliner implement it. There are two exceptions:
//   - For a cluster, pass the *redis.ClusterClient itself. [Store.Check] and [Store.Sweep] refuse its AutoPipeliner and wrappers, which
//     hide the servers.
//   - A *redis.Ring is refused. If a server fails, a ring moves its keys to another server, where their records are absent.
type Client interface {
	// Process sends one command.
	Process(ctx context.Context, cmd redis.Cmder) error
	// Pipeline begins commands that are sent together.
	Pipeline() redis.Pipeliner
}

const (
	// DefaultPrefix is the default of [WithPrefix].
	DefaultPrefix = "onlyonce:"
	// DefaultTimeout is the default of [WithTimeout]: 500 ms.
	DefaultTimeout = 500 * time.Millisecond
	// DefaultUnknownRetention is the default of [WithUnknownRetention]: 30 days.
	DefaultUnknownRetention = 30 * 24 * time.Hour

	// closeTimeout bounds the wait in Close.
	closeTimeout = time.Second

	// minTimeout and minUnknownRetention are the least values of the options.
	minTimeout          = time.Millisecond
	minUnknownRetention = time.Hour
)

// Store keeps records in Redis. It is safe for concurrent use, and any number of processes may share the records. It starts goroutines only
// on behalf of operations, and a timer that writes to the index. [Store.Close] stops the timer.
type Store struct {
	config

	client  Client
	scripts *scripts
	life    string // the unknown retention in the format of Redis
	batches batcher
	index   *index // nil under WithoutIndex
	// ifeq means that the servers have SET with IFEQ, as far as this process knows.
	ifeq  atomic.Bool
	close func() error
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Inspector = (*Store)(nil)
	_ store.Lister    = (*Store)(nil)
	_ store.Forgetter = (*Store)(nil)
	_ store.Direct    = (*Store)(nil)
)

type config struct {
	report   report.To
	prefix   string
	timeout  time.Duration
	unknown  time.Duration
	indexed  bool
	batched  bool
	checked  bool
	evicting bool
	// delay is the time from the claim of a run to the write of its entry. cleanFirst is the time from New to the first cleaning of the index.
	delay, cleanFirst time.Duration
	sweep             sweepPace
}

// Option configures a Store.
type Option func(*config)

// WithPrefix sets the prefix of the names of all keys, such as "payments:onlyonce:". The default is DefaultPrefix. Stores with different
// prefixes do not share records. The prefix must not contain braces, which would move all records of a cluster to one slot: New and Open
// return an error.
func WithPrefix(prefix string) Option { return func(c *config) { c.prefix = prefix } }

// WithTimeout bounds one operation, whatever the client's own timeouts are. The deadline of a context may be earlier. The default is
// DefaultTimeout. For less than a millisecond, [New] and [Open] return an error. Their own Check has 5 s, or this timeout if it is longer.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithUnknownRetention sets how long an unsettled record is kept: one that is Running or Unknown. The time counts from the last claim,
// renewal or hold. A record never expires while its owner may be alive: that is MaxRun and one lease from its start. The default is
// DefaultUnknownRetention. For less than an hour, [New] and [Open] return an error.
//
// Afterwards the key is free, and its handler may run again. So choose a time much longer than clients retry.
func WithUnknownRetention(d time.Duration) Option { return func(c *config) { c.unknown = d } }

// WithoutIndex leaves out the index of unsettled records. It saves two commands for each run of more than about 100 ms. Capabilities then
// has no Lister, ListUnknown and ListRunning yield nothing, and Run and Sweep return an error.
func WithoutIndex() Option { return func(c *config) { c.indexed = false } }

// WithoutBatching sends every operation in its own round trip. A *redis.AutoPipeliner does not replace batches, because it batches single
// commands, and the two commands of a claim stay together.
func WithoutBatching() Option { return func(c *config) { c.batched = false } }

// WithoutCheck leaves out the Check in New and Open, so that a service can start while Redis is down. Until [Store.Check] is called,
// completions use a script even on servers that have SET with IFEQ.
func WithoutCheck() Option { return func(c *config) { c.checked = false } }

// WithEviction accepts servers that evict keys when their memory is full. Such a server loses records early, also those of running calls,
// and their handlers run again. While its memory is full, the store protects no call.
func WithEviction() Option { return func(c *config) { c.evicting = true } }

// New returns a store that uses the caller's client. The client must outlive the store, which never closes it. New calls Check, returns its
// error, and drops its warnings: a program that logs them calls [Store.Check] itself. New also returns an error for a nil client, a
// *redis.Ring, a client with a client-side cache, and invalid options.
func New(client Client, opts ...Option) (*Store, error) {
	if client == nil {
		return nil, errors.New("redisstore: New: the client is nil: pass a client, such as that of redis.NewClient, or use Open")
	}

	if _, isRing := client.(*redis.Ring); isRing {
		return nil, errors.New("redisstore: New: the client is a ring: if a server fails, a ring moves keys to another server, where their " +
			"records are absent and their handlers would run again: use a cluster or Sentinel")
	}

	if c, ok := client.(*redis.Client); ok && (c.Options().ClientSideCache != nil || c.Options().ClientSideCacheConfig != nil) {
		return nil, errors.New("redisstore: New: the client caches replies, but records change: use a client without ClientSideCache")
	}

	s := &Store{
		client: client,
		config: config{
			report: report.To{Refuses: isRefused},
			prefix: DefaultPrefix, timeout: DefaultTimeout, unknown: DefaultUnknownRetention,
			indexed: true, batched: true, checked: true,
			delay: indexDelay, cleanFirst: cleanFirst, sweep: slowly(),
		},
		scripts: loadScripts(),
		close:   func() error { return nil },
	}

	for _, opt := range opts {
		opt(&s.config)
	}

	if err := s.validate(); err != nil {
		return nil, err
	}

	s.life = strconv.FormatUint(span(s.unknown), 10)
	s.batches.init(client, s.batched)
	s.batches.wire.report = s.report

	if s.indexed {
		s.index = newIndex(s)
	}

	if s.checked {
		ctx, cancel := context.WithTimeout(context.Background(), max(checkTimeout, s.timeout))
		defer cancel()

		if _, err := s.Check(ctx); err != nil {
			return nil, err
		}
	}

	return s, nil
}

func (c *config) validate() error {
	var errs []error

	if strings.ContainsAny(c.prefix, "{}") {
		errs = append(errs, fmt.Errorf("redisstore: WithPrefix(%q): the prefix has braces: remove them", c.prefix))
	}

	if c.timeout < minTimeout {
		errs = append(errs, fmt.Errorf("redisstore: WithTimeout(%v): give %v or more", c.timeout, minTimeout))
	}

	if c.unknown < minUnknownRetention {
		errs = append(errs, fmt.Errorf("redisstore: WithUnknownRetention(%v): give %v or more, better weeks; records cannot be kept for ever",
			c.unknown, minUnknownRetention))
	}

	return errors.Join(errs...)
}

// Capabilities implements [store.Store]. It has no Notifier and no Transactional. Lister is nil under WithoutIndex. Part is nil unless the
// client is a *redis.ClusterClient. Stores with one client and one prefix have the same Home.
func (s *Store) Capabilities() store.Capabilities {
	can := store.Capabilities{
		Inspector: s, Forgetter: s, Diagnoser: s, Direct: s, Bounded: true, UnknownRetention: s.unknown,
	}

	if s.indexed {
		can.Lister = s
	}

	if s.batches.servers.cluster != nil {
		can.Part = func(key store.Key) string { return s.batches.servers.part(s.name(&key)) }
	}

	if reflect.ValueOf(s.client).Comparable() {
		can.Home = home{s.client, s.prefix}
	}

	return can
}

// home identifies the place of the records. Two stores with their own clients do not know that they share records.
type home struct {
	client Client
	prefix string
}

// Close writes the queued entries of the index, within a second, and closes the client of Open. It does not close the client of New: close
// the store first, then that client. The error is the client's.
func (s *Store) Close() error {
	if s.index != nil {
		ctx, cancel := context.WithTimeout(context.Background(), min(s.timeout, closeTimeout))
		defer cancel()

		_ = s.index.close(ctx) // the sweep finds what is missing
	}

	return s.close()
}
