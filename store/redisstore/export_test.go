package redisstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The bounds of batches.
const (
	MaxBatch   = maxBatch
	MaxFlights = maxFlights
	MaxLanes   = maxLanes
)

// The names of the two scripts of a forgetting.
var (
	LookupSHA = loadScripts().lookup.sha
	ForgetSHA = loadScripts().forget.sha
)

// WithIndexDelay sets how long after its claim the entry of a run is written.
func WithIndexDelay(d time.Duration) Option { return func(c *config) { c.delay = d } }

// WithCleaning lets a store clean the index at once.
func WithCleaning() Option { return func(c *config) { c.cleanFirst = 0 } }

// WithSweepPace sets how fast Run reads keys.
func WithSweepPace(page int, pause, every, turn time.Duration) Option {
	return func(c *config) { c.sweep = sweepPace{page: page, pause: pause, every: every, turn: turn} }
}

// Flush writes the pending entries of the index.
func Flush(ctx context.Context, s *Store) error {
	if s.index == nil {
		return nil
	}

	return s.flush(ctx)
}

// Waiting is how many operations wait for others.
func Waiting(s *Store) (waiting int) {
	for _, l := range lanes(s) {
		l.mu.Lock()
		waiting += len(l.queue)
		l.mu.Unlock()
	}

	return waiting
}

// Flights is how many batches are under way.
func Flights(s *Store) (flights int) {
	for _, l := range lanes(s) {
		l.mu.Lock()
		flights += len(l.flights)
		l.mu.Unlock()
	}

	return flights
}

// LaneOf finds the lane of a key, as an operation does.
func LaneOf(ctx context.Context, s *Store, key store.Key) error {
	_, err := s.batches.servers.lane(&request{ctx: ctx, deadline: time.Now().Add(time.Minute)}, s.name(&key)) //nolint:contextcheck // as there

	return err
}

// Lanes is how many servers of a cluster have a lane.
func Lanes(s *Store) int { return len(lanes(s)) - 1 }

func lanes(s *Store) []*lane {
	servers := &s.batches.servers

	servers.mu.Lock()
	defer servers.mu.Unlock()

	return slices.AppendSeq([]*lane{&servers.only}, maps.Values(servers.lanes))
}
