package console

import (
	"sync"
	"time"
)

// sample is the number of records in a store at one time.
type sample struct {
	At               time.Time
	Running, Unknown int
}

// samples are the last samples of a store, at most one per bar.
type samples struct {
	mu   sync.Mutex
	kept []sample
}

// add adds a sample. It replaces the sample of the same bar, and drops old samples.
func (s *samples) add(next sample) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if n := len(s.kept); n > 0 && barOf(s.kept[n-1].At) == barOf(next.At) {
		s.kept[n-1] = next
	} else {
		s.kept = append(s.kept, next)
	}

	for len(s.kept) > 0 && barOf(s.kept[0].At) <= barOf(next.At)-barCount {
		s.kept = s.kept[1:]
	}
}

func (s *samples) read(now time.Time) []sample {
	s.mu.Lock()
	defer s.mu.Unlock()

	var recent []sample

	for _, kept := range s.kept {
		if barOf(kept.At) > barOf(now)-barCount {
			recent = append(recent, kept)
		}
	}

	return recent
}
