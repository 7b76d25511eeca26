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

// Client is what the store needs of go-redis. *redis.Client, *redis.ClusterClient, the clients of redis.NewFailoverClient
// and *redis.AutoPipeliner have it. For a cluster, pass the *redis.ClusterClient itself: [Store.Check] and [Store.Sweep] refuse its
// AutoPipeliner and wrappers of it, which hide its servers. A *redis.Ring is refused: it moves keys to another server when one fails, where
// their records are absent.
type Client interface {
	// Process sends one command.
	Process(ctx context.Context, cmd redis.Cmder) error
	// Pipeline begins commands that are sent together.
	Pipeline() redis.Pipeliner
}

const (
	// DefaultPrefix begins the names of all keys of a store unless WithPrefix sets another.
	DefaultPrefix = "onlyonce:"
	// DefaultTimeout bounds one operation unless WithTimeout sets another: 500 ms.
	DefaultTimeout = 500 * time.Millisecond
	// DefaultUnknownRetention is the life of an unsettled record unless WithUnknownRetention sets another: 30 days.
	DefaultUnknownRetention = 30 * 24 * time.Hour

	// closeTimeout bounds what Close waits for.
	closeTimeout = time.Second

	// minTimeout and minUnknownRetention are the lower ends of what the options accept.
	minTimeout          = time.Millisecond
	minUnknownRetention = time.Hour
)

// Store keeps records in Redis. It is safe for concurrent use and by any number of processes.
type Store struct {
	config

	client  Client
	scripts *scripts
	life    string // the unknown retention as Redis reads it
	batches batcher
	index   *index // nil without one
	// ifeq means that the servers know SET with IFEQ, as far as this process knows.
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
	// delay is how long after its claim the entry of a run is written, and cleanFirst how long after its construction a store cleans the
	// index.
	delay, cleanFirst time.Duration
	sweep             sweepPace
}

// Option changes a Store under construction.
type Option func(*config)

// WithPrefix begins the names of all keys of the store, such as "payments:onlyonce:". Stores with different prefixes do not
// see each other's records. The default is DefaultPrefix. It must not contain braces, which would move all records to one
// slot of a cluster.
func WithPrefix(prefix string) Option { return func(c *config) { c.prefix = prefix } }

// WithTimeout bounds one operation, whatever the settings of the client; the default is DefaultTimeout. The context of
// an operation can shorten it. Give at least a millisecond. [New] and [Open] give their Check five seconds, or this time if it is longer.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithUnknownRetention sets the life of a record that is not settled: one that is running, or whose outcome is unknown. The time counts
// from the last start or renewal, or from when the outcome became unknown. The default is DefaultUnknownRetention, and the least is an
// hour. A record never expires while its owner may be alive, which is until MaxRun and a lease after its start.
//
// After this time the key is free and its handler may run again. So choose a time that is far longer than any client retries.
func WithUnknownRetention(d time.Duration) Option { return func(c *config) { c.unknown = d } }

// WithoutIndex leaves out the index of records that are not settled. It saves two commands for each run that lasts longer than about
// 100 ms. The store then cannot list: the Lister of its Capabilities is nil, and ListUnknown finds nothing.
func WithoutIndex() Option { return func(c *config) { c.indexed = false } }

// WithoutBatching sends every operation by itself, each on a connection of its own. A *redis.AutoPipeliner does not replace batches: it
// batches single commands, and a claim is two commands that stay together.
func WithoutBatching() Option { return func(c *config) { c.batched = false } }

// WithoutCheck leaves out the Check at construction, so that a service can start while Redis is down. Completions then use a script, also
// on servers that know SET with IFEQ, until [Store.Check] is called.
func WithoutCheck() Option { return func(c *config) { c.checked = false } }

// WithEviction accepts a server that evicts keys when its memory is full. Such a server forgets records before their time, also those of
// running calls, and their handlers run again. While its memory is full, it protects no call.
func WithEviction() Option { return func(c *config) { c.evicting = true } }

// New returns a store that uses a client of the caller's. It calls Check, and fails if Check fails. The store does not close the client.
func New(client Client, opts ...Option) (*Store, error) {
	if client == nil {
		return nil, errors.New("redisstore: New needs a client, such as redis.NewClient; or use Open")
	}

	if _, isRing := client.(*redis.Ring); isRing {
		return nil, errors.New("redisstore: a ring moves keys to another server when one fails, where their records are " +
			"absent and their handlers would run again: use a cluster or Sentinel")
	}

	if c, ok := client.(*redis.Client); ok && (c.Options().ClientSideCache != nil || c.Options().ClientSideCacheConfig != nil) {
		return nil, errors.New("redisstore: the client caches replies, and records change: use a client without ClientSideCache")
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
		errs = append(errs, fmt.Errorf("redisstore: prefix %q has braces: leave them out", c.prefix))
	}

	if c.timeout < minTimeout {
		errs = append(errs, fmt.Errorf("redisstore: WithTimeout(%v): give %v or more", c.timeout, minTimeout))
	}

	if c.unknown < minUnknownRetention {
		errs = append(errs, fmt.Errorf("redisstore: WithUnknownRetention(%v): give %v or more, better weeks; for ever is not possible",
			c.unknown, minUnknownRetention))
	}

	return errors.Join(errs...)
}

// Capabilities implements [store.Store].
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

// home is where records are kept. Two stores on one server that have a client each do not know that they share records.
type home struct {
	client Client
	prefix string
}

// Close writes the entries of the index that still wait, and closes the client that Open has made. It does not close a client that was
// passed to New: close the store first, and the client afterwards.
func (s *Store) Close() error {
	if s.index != nil {
		ctx, cancel := context.WithTimeout(context.Background(), min(s.timeout, closeTimeout))
		defer cancel()

		_ = s.index.close(ctx) // the sweep finds what is missing
	}

	return s.close()
}
