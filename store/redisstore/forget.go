package redisstore

import (
	"context"
	"errors"

	"github.com/onlyonce-go/onlyonce/store"
)

// Forget implements [store.Forgetter]. It works while the server is out of memory. It takes three round trips, two without an index, and
// four for a record in the index that cannot be read.
//
// The client decides, because only the client can check the seal of a record. The server removes the record if it still has the bytes that
// the client read. So a late copy of this step removes no other record. If the record has changed, the client decides again.
func (s *Store) Forget(ctx context.Context, op store.Forgetting) (res store.Result, err error) {
	defer s.report.Ended(ctx, store.OperationForget, s.report.Clock(), &res, &err)

	w := s.begin(ctx, &op.Key)

	for {
		seen, before, err := s.decideForget(ctx, &w, &op, &res)
		if err != nil || seen == nil {
			return res, err
		}

		// A record that is settled or cannot be read does not show the score of its entry.
		if before == 0 && s.index != nil {
			member := s.memberOf(w.name)
			before = s.index.of(member).scoreOf(ctx, &w, member)
		}

		reply, err := s.evaluate(ctx, &w, &s.scripts.forget, seen, nil, "")
		if err != nil {
			return store.Result{}, err
		}

		if len(reply) < replyHeader {
			return store.Result{}, cutShort(reply)
		}

		if reply[0] == applied {
			if s.index != nil && before != 0 {
				member := s.memberOf(w.name)
				s.index.of(member).forget(ctx, &w, member, before)
			}

			return store.Result{Applied: true, Now: decodeTime(reply[1:])}, nil
		}
	}
}

// decideForget reads a record. It returns the bytes that may be removed, and the score of the record's index entry. Without bytes, res is
// the answer.
func (s *Store) decideForget(
	ctx context.Context, w *work, op *store.Forgetting, res *store.Result,
) (seen []byte, score int64, err error) {
	reply, err := s.evaluate(ctx, w, &s.scripts.lookup, nil, nil, "")
	if err == nil {
		_, _, err = decodeReply(res, w.name, reply, "")
	}

	if err == nil {
		score = scoreOf(&res.Record)
		decided := op.Apply(res.Record, res.Now)
		res.Applied, res.Record = decided.Applied, decided.Record

		if !decided.Changed {
			return nil, 0, nil
		}
	} else if !op.Force || !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) {
		return nil, 0, err
	}

	return []byte(reply[min(replyHeader, len(reply)):]), score, nil
}
