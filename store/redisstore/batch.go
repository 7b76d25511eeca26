package redisstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// request is an operation on its way: commands on one key, which are sent together and in their order.
type request struct {
	ctx      context.Context //nolint:containedctx // that of the caller, whose end ends the wait
	deadline time.Time
	cmds     []redis.Cmder
	// size is how many bytes the commands have, about.
	size int
	// reads means that the answer may contain the outcome of a record, whose size is unknown beforehand.
	reads bool
	// entered is when the request began to wait for a batch, and boarded when it found one.
	entered, boarded time.Time
	// ended receives when a request that others send has its answer, or when its time is over.
	ended chan error
}

// end ends the wait for the answer. The first of several ends counts.
func (r *request) end(err error) {
	select {
	case r.ended <- err:
	default:
	}
}

// endIfLate ends the wait if its time is over.
func (r *request) endIfLate(now time.Time) bool {
	late := !now.Before(r.deadline)
	if late {
		r.end(context.DeadlineExceeded)
	}

	return late
}

// answerSize is how many bytes the answer has, about.
func (r *request) answerSize() (size int) {
	for _, cmd := range r.cmds {
		if text, ok := cmd.(*redis.StringCmd); ok {
			size += len(text.Val())
		}
	}

	return size
}

// answered reports whether every command has an answer of the server.
func (r *request) answered() bool {
	return !slices.ContainsFunc(r.cmds, func(cmd redis.Cmder) bool {
		err := cmd.Err()

		var reply redis.Error

		return err != nil && !errors.As(err, &reply)
	})
}

// batcher lets concurrent operations share round trips without a delay. An operation on an idle lane goes at once, on the goroutine of its
// caller. Operations that come meanwhile wait, and go together when the batch before them has its answer. See lane.go.
//
// An operation goes alone if its bytes, or those of its answer, would hold up the others of a batch.
type batcher struct {
	wire    *wire
	batched bool
	servers servers
}

func (b *batcher) init(client Client, batched bool) {
	b.wire, b.batched = newWire(client), batched
	b.servers.init(b.wire)
}

// do sends a request and waits for its answer, as long as its context and its deadline allow. An error means that there is no answer in
// this time: the request may still arrive, so its commands must not be read. Otherwise every command has an answer or an error of its own.
func (b *batcher) do(name string, r *request) error {
	if err := r.ctx.Err(); err != nil {
		return err //nolint:wrapcheck // wrapped by the operation
	}

	l, err := b.servers.lane(r, name)
	if err != nil {
		return err
	}

	if !b.batched {
		return b.wire.alone(r)
	}

	how, f := l.enter(r)

	switch how {
	case inBatch:
		return l.wait(r)
	case first:
		err = b.wire.alone(r)
		l.goOn(f)
	case byItself:
		if err = b.wire.alone(r); err == nil && r.answered() {
			l.learn(r.answerSize())
		}
	}

	return err
}

// alone sends a request by itself.
func (w *wire) alone(r *request) error {
	ctx, cancel := context.WithDeadline(r.ctx, r.deadline)
	defer cancel()

	return w.await(ctx, func() error {
		began := w.report.Clock()
		w.send(ctx, r.cmds)
		w.report.Batch(ctx, began, 1)

		return nil
	})
}
