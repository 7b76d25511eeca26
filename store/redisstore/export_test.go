package redisstore

import (
	"context"

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

// Waiting is how many operations wait for others.
func Waiting(s *Store) int {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()

	waiting := s.batches.only.waiting()
	for _, l := range s.batches.lanes {
		waiting += l.waiting()
	}

	return waiting
}

// Flights is how many batches are under way.
func Flights(s *Store) int {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()

	flights := s.batches.only.underWay()
	for _, l := range s.batches.lanes {
		flights += l.underWay()
	}

	return flights
}

// LaneOf looks the lane of a key up, as an operation does.
func LaneOf(ctx context.Context, s *Store, key store.Key) error {
	_, err := s.batches.lane(ctx, s.name(&key))

	return err
}

// Lanes is how many servers of a cluster have a lane.
func Lanes(s *Store) int {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()

	return len(s.batches.lanes)
}

func (l *lane) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.queue)
}

func (l *lane) underWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.flights
}
