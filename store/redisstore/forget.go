package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Forget implements [store.Forgetter]. It takes two round trips, and works while the server is out of memory.
//
// The client decides, because it alone can tell whether a record can be read. The server then removes the very bytes that the
// client has seen. A record that changes in between is decided on again, so that a late copy of the second step removes nothing
// else.
func (s *Store) Forget(ctx context.Context, op store.Forgetting) (res store.Result, err error) {
	ctx, cancel := context.WithDeadline(ctx, time.Now().Add(s.timeout))
	defer cancel()

	name := s.name(&op.Key)

	for {
		seen, err := s.decideForget(ctx, name, &op, &res)
		if err != nil || seen == nil {
			return res, err
		}

		reply, err := s.evaluate(ctx, &s.scripts.forget, name, seen, nil, "")
		if err != nil {
			return store.Result{}, err
		}

		if len(reply) < replyHeader {
			return store.Result{}, cutShort(reply)
		}

		if reply[0] == applied {
			return store.Result{Applied: true, Now: decodeTime(reply[1:])}, nil
		}
	}
}

// decideForget reads a record and returns its bytes where they may be removed. Where it returns nil, the result is the answer.
func (s *Store) decideForget(ctx context.Context, name string, op *store.Forgetting, res *store.Result) ([]byte, error) {
	reply, err := s.evaluate(ctx, &s.scripts.lookup, name, nil, nil, "")
	if err == nil {
		err = decodeReply(res, name, reply, nil)
	}

	if err == nil {
		decided := op.Apply(res.Record, res.Now)
		res.Applied, res.Record = decided.Applied, decided.Record

		if !decided.Changed {
			return nil, nil
		}
	} else if !op.Force || !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) {
		return nil, err
	}

	return []byte(reply[min(replyHeader, len(reply)):]), nil
}
