package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxBatch is how many operations go together at most, and maxBatchSize how many bytes.
	maxBatch     = 256
	maxBatchSize = 256 << 10
	// large is the size in bytes from which on an operation or its answer goes alone.
	large = 16 << 10
	// answersAfterLarge is how many small answers have to follow a large one until answers are expected to be small again. If
	// one answer in a hundred is large, one of the next batches has another.
	answersAfterLarge = 100
	// readsAfterLate is how many reads go alone after a batch of reads that had no answer in time. Perhaps large answers have held it
	// up, and one that goes alone shows that. They are few, because a server that is overloaded needs batches most.
	readsAfterLate = 16

	// maxFlights is how many batches are under way to a server at most.
	maxFlights = 4
	// worthAnother is how many operations have to wait for another batch on a slow network.
	worthAnother = 8
	// slowTrip and slowShare are how long a round trip takes on a slow network at least: in all, and for each operation. A fast
	// network is never idle, and a second batch would only make both of them smaller.
	slowTrip  = time.Millisecond
	slowShare = 100 * time.Microsecond
	// stalled is how long a batch may be under way until the next one goes past it, on another connection.
	stalled = 25 * time.Millisecond
)

// flight is a batch under way, and after it the next one.
type flight struct {
	batch []*request
	cmds  []redis.Cmder
	began time.Time
}

// board makes a batch of those who wait, and returns those who go on waiting. Callers who have gone are left behind.
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

// fly sends the batch. It lasts as long as the operation that may last longest. The lane lets the others go in time.
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

// isLate reports whether reads that went together had no answer in time.
func (f *flight) isLate(now time.Time) bool {
	return len(f.batch) > 1 && slices.ContainsFunc(f.batch, func(r *request) bool {
		return r.reads && !now.Before(r.deadline) && !r.answered()
	})
}

// fit is how many of the operations that wait go together: one at least.
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

// remaining is how many small answers have to come after an answer of this size until reads go together again.
func remaining(before, size int) int {
	if size >= large {
		return answersAfterLarge
	}

	return max(before-1, 0)
}

// isSlow reports whether a round trip was so long that the network, and not the work, took most of the time.
func isSlow(took time.Duration, operations int) bool {
	return took >= slowTrip && took >= time.Duration(operations)*slowShare
}

// another reports whether one more batch is worth a connection.
//   - If none is under way, it is.
//   - On a slow network it is, if enough operations wait.
//   - If the last one has stalled, it is: its connection may be dead, or full of a large answer.
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
