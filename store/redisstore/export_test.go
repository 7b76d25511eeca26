package redisstore

// The bounds of batches.
const (
	MaxBatch   = maxBatch
	MaxFlights = maxFlights
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
