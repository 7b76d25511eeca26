package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxBatch is the greatest number of operations in a batch, and maxBatchSize the greatest size in bytes.
	maxBatch     = 256
	maxBatchSize = 256 << 10
	// large is the size in bytes at which an operation, or its answer, goes alone.
	large = 16 << 10
	// answersAfterLarge is how many small answers must follow a large one before reads go together again. If one answer in a hundred is large,
	// one of the next batches has another.
	answersAfterLarge = 100
	// readsAfterLate is how many reads go alone after a batch of reads without an answer in time. Large answers may have delayed the batch,
	// and single reads show that. The number is small, because an overloaded server needs batches most.
	readsAfterLate = 16

	// maxFlights is the greatest number of batches under way to a server.
	maxFlights = 4
	// worthAnother is how many operations must wait before a slow network gets another batch.
	worthAnother = 8
	// slowTrip and slowShare are the least duration of a round trip on a slow network, in total and per operation. A fast network is never
	// idle, and a second batch would only make both smaller.
	slowTrip  = time.Millisecond
	slowShare = 100 * time.Microsecond
	// stalled is how long a batch may be under way before the next one passes it on another connection.
	stalled = 25 * time.Millisecond
)

// flight is a sequence of batches, each sent after the answer of the one before.
type flight struct {
	batch []*request
	cmds  []redis.Cmder
	began time.Time
}

// board makes a batch of waiting requests, and returns those that still wait. Requests whose callers have gone are left out.
func (f *flight) board(queue []*request, now time.Time) []*request {
	clear(f.batch)
	f.batch, f.began = f.batch[:0], now

	for len(queue) > 0 && len(f.batch) == 0 {
		n := fit(queue)

		for _, r := range queue[:n] {
			if r.ctx.Err() == nil {
				r.boarded = now
				f.batch = append(f.batch, r)
			}
		}

		queue = slices.Delete(queue, 0, n)
	}

	return queue
}

// fly sends the batch. It may last as long as the longest of its requests. The lane ends the others in time.
func (f *flight) fly(w *wire) {
	var latest time.Time

	for _, r := range f.batch {
		f.cmds = append(f.cmds, r.cmds...)

		if r.deadline.After(latest) {
			latest = r.deadline
		}
	}

	ctx, cancel := context.WithDeadline(context.WithoutCancel(f.batch[0].ctx), latest)
	defer cancel()

	w.send(ctx, f.cmds)
	w.report.Batch(ctx, f.began, len(f.batch))
	clear(f.cmds)
	f.cmds = f.cmds[:0]
}

// isLate reports whether reads that went together got no answer in time.
func (f *flight) isLate(now time.Time) bool {
	return len(f.batch) > 1 && slices.ContainsFunc(f.batch, func(r *request) bool {
		return r.reads && !now.Before(r.deadline) && !r.answered()
	})
}

// fit returns how many of the waiting requests go together, at least one.
func fit(queue []*request) int {
	size := 0

	for i, r := range queue {
		size += r.size

		if i > 0 && (i == maxBatch || size > maxBatchSize) {
			return i
		}
	}

	return len(queue)
}

// remaining returns how many small answers must follow an answer of this size before reads go together again.
func remaining(before, size int) int {
	if size >= large {
		return answersAfterLarge
	}

	return max(before-1, 0)
}

// isSlow reports whether a round trip took so long that the network took most of the time, not the work.
func isSlow(took time.Duration, operations int) bool {
	return took >= slowTrip && took >= time.Duration(operations)*slowShare
}

// another reports whether one more batch is worth a connection. It is in these cases:
//   - No batch is under way.
//   - The network is slow, and enough requests wait.
//   - The last batch has stalled. Its connection may be dead, or full of a large answer.
func another(flights, waiting int, slow bool, age time.Duration) bool {
	switch {
	case waiting == 0 || flights >= maxFlights:
		return false
	case flights == 0 || age >= stalled:
		return true
	default:
		return slow && waiting >= worthAnother
	}
}
