package redisstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// request is an operation on its way: commands on one key, sent together and in order.
type request struct {
	ctx      context.Context //nolint:containedctx // of the caller; its end ends the wait
	deadline time.Time
	cmds     []redis.Cmder
	// size is the approximate size of the commands, in bytes.
	size int
	// reads means that the answer may contain an outcome, whose size is not known in advance.
	reads bool
	// entered is when the request began to wait for a batch, and boarded when it joined one.
	entered, boarded time.Time
	// ended receives the end of a request that another goroutine sends: its answer, or its timeout.
	ended chan error
}

// end ends the wait for the answer. Only the first call counts.
func (r *request) end(err error) {
	select {
	case r.ended <- err:
	default:
	}
}

// endIfLate ends the wait if the deadline has passed.
func (r *request) endIfLate(now time.Time) bool {
	late := !now.Before(r.deadline)
	if late {
		r.end(context.DeadlineExceeded)
	}

	return late
}

// answerSize returns the approximate size of the answer, in bytes.
func (r *request) answerSize() (size int) {
	for _, cmd := range r.cmds {
		if text, ok := cmd.(*redis.StringCmd); ok {
			size += len(text.Val())
		}
	}

	return size
}

// answered reports whether the server answered every command.
func (r *request) answered() bool {
	return !slices.ContainsFunc(r.cmds, func(cmd redis.Cmder) bool {
		err := cmd.Err()

		var reply redis.Error

		return err != nil && !errors.As(err, &reply)
	})
}

// batcher lets concurrent operations share round trips without delay. An operation on an idle lane is sent at once, on the goroutine of its
// caller. Operations that arrive meanwhile wait, and go together after the answer of the batch before them. See lane.go.
//
// An operation goes alone if it, or its answer, is so large that it would delay the others.
type batcher struct {
	wire    *wire
	batched bool
	servers servers
}

func (b *batcher) init(client Client, batched bool) {
	b.wire, b.batched = newWire(client), batched
	b.servers.init(b.wire)
}

// do sends a request and waits for its answer until its context or its deadline ends. After an error there is no answer yet, and the
// request may still arrive: the commands must not be read. Otherwise every command has an answer or its own error.
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
		defer l.goOn(f) // also if a hook of the client panics

		return b.wire.alone(r)
	case byItself:
		if err = b.wire.alone(r); err == nil && r.answered() {
			l.learn(r.answerSize())
		}
	}

	return err
}

// alone sends a request outside of batches.
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
