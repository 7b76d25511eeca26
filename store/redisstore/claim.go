package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// claimFirst makes a claim that expects no record: the server stores the client's record unless there is one. It returns false if the
// script must decide, because there is a record that is not completed. That record may come from an earlier copy of this claim.
func (s *Store) claimFirst(ctx context.Context, w *work, fresh, life string, res *store.Result) (bool, error) {
	set := redis.NewStringCmd(ctx, "SET", w.name, fresh, "NX", "GET", "PX", life)
	expiry := redis.NewIntCmd(ctx, "PEXPIRETIME", w.name)

	if err := s.exchange(ctx, w, len(fresh), true, set, expiry); err != nil {
		return true, w.failure("claim", err)
	}

	stored, err := set.Result()
	expires := max(expiry.Val(), 0)

	switch {
	case errors.Is(err, redis.Nil):
		// The key may have been removed, or lost its expiry, since.
		if expires == 0 {
			return false, nil
		}

		s.won(res, w, fresh, expires)

		return true, nil
	case err != nil:
		return true, w.failure("claim", err)
	case len(stored) <= stateStart || stored[0] != formatVersion || store.State(stored[stateStart]) != store.Completed,
		expiry.Err() != nil, expiry.Val() == gone:
		return false, nil //nolint:nilerr // the script finds out
	default:
		return true, decodeRecord(&res.Record, w.name, stored, expires)
	}
}

// gone is the expiry that Redis returns for an absent key.
const gone = -2

// won fills in the result of a claim whose record the server stored as the client made it.
func (s *Store) won(res *store.Result, w *work, fresh string, expires int64) {
	start := startOf(fresh, expires)
	res.Applied, res.Now = true, timeOf(start)

	identity, note := parts(fresh)
	decodeWhole(&res.Record, fresh, identity, note, expires)
	s.giveReceipt(res, w, fresh, expires, nil)
}

// giveReceipt adds the receipt of a run to its result. Known is the index entry of an earlier receipt of the run, or nil.
func (s *Store) giveReceipt(res *store.Result, w *work, record string, expires int64, known *entry) {
	own := &receipt{name: w.name, record: record, expires: expires, decided: res.Now.UnixMilli(), sent: w.began, entry: known}
	res.Receipt = own

	if s.index == nil {
		return
	}

	member, until := s.memberOf(w.name), res.Record.LeaseUntil.UnixMilli()
	q := s.index.of(member)

	if known == nil {
		own.entry = &entry{member: member, token: res.Record.Token}
		q.add(own.entry, until, w.began.Add(s.delay))
	} else {
		q.add(known, until, w.began)
	}
}

// claimWhenRefused decides a claim that the server refused to write, because it is out of memory or refuses all writes.
//   - A claim that has nothing to write gets its result as always: the key is completed, or somebody runs it.
//   - The client may have sent the claim twice, and the first copy may have won. ErrFull is returned only if nothing changed.
//   - A server that refuses all writes grants no run: it may lose the claim before it accepts writes.
//   - A server that another master may have replaced reports no unknown outcome: the other master may have the outcome.
func (s *Store) claimWhenRefused(ctx context.Context, op *store.Claim, res *store.Result, refused error) error {
	if err := s.lookup(ctx, &op.Key, res); err != nil {
		return err // nobody knows whether the claim has won
	}

	switch decided := op.Apply(res.Record, res.Now); {
	case decided.Applied && refusesWrites(refused), res.Unknown() && mayBeReplaced(refused):
		return refused
	case !decided.Changed:
		res.Applied = decided.Applied

		return nil
	case res.Record.Token == op.Token:
		// Not ErrFull, because something changed.
		return fmt.Errorf("redisstore: claim: an earlier copy of it won, and its lease has ended: %v", refused) //nolint:errorlint // see above
	default:
		return refused
	}
}
