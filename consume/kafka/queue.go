package oncekafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// queue has the records of a partition that wait.
type queue struct {
	mu      sync.Mutex
	records []*kgo.Record
	filled  chan struct{}
}

func newQueue() *queue { return &queue{filled: make(chan struct{}, 1)} }

// add appends records, and returns how many wait now.
func (q *queue) add(records []*kgo.Record) int {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.records = append(q.records, records...)

	select {
	case q.filled <- struct{}{}:
	default:
	}

	return len(q.records)
}

// len returns how many records wait.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()

	return len(q.records)
}

// next returns the next record, and how many wait behind it. It returns nil when ctx has ended.
func (q *queue) next(ctx context.Context) (r *kgo.Record, left int) {
	for ctx.Err() == nil {
		if r, left := q.take(); r != nil {
			return r, left
		}

		select {
		case <-q.filled:
		case <-ctx.Done():
		}
	}

	return nil, 0
}

func (q *queue) take() (*kgo.Record, int) {
	q.mu.Lock()
	defer q.mu.Unlock()

	if len(q.records) == 0 {
		return nil, 0
	}

	r := q.records[0]
	q.records[0] = nil
	q.records = q.records[1:]

	return r, len(q.records)
}
