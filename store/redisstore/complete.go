package redisstore

import (
	"context"
	"errors"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// completeOwn makes a completion with the receipt of its run. The completed record replaces the running one if the server still has the
// bytes of the receipt. It returns false if the script must decide.
func (s *Store) completeOwn(ctx context.Context, w *work, own *receipt, op *store.Completion, res *store.Result) (bool, error) {
	record, head, life, ok := own.completed(op, w.began)
	if !ok {
		return false, nil
	}

	expires, err := s.swap(ctx, w, own.record, record, life)

	switch {
	case err != nil && !isReply(err):
		return true, w.failure("complete", err)
	case err != nil || expires == 0:
		return false, nil //nolint:nilerr // the script finds out
	case expires < 0:
		// The completed record has already expired.
		expires = uint48At(string(record[:head]), timesStart+2*timeSize) + int64(life) //nolint:gosec // it has 48 bits
	}

	res.Applied = true
	decodeWhole(&res.Record, string(record[:head]), aliveStart, head, expires)
	res.Record.Outcome = op.Outcome
	res.Now = res.Record.EndedAt

	return true, nil
}

// swap replaces a record if the server still has the old bytes. It returns the expiry of the new record, 0 if there are other bytes, and a
// negative number if the new record expired at once.
func (s *Store) swap(ctx context.Context, w *work, old string, record []byte, life uint64) (int64, error) {
	px := strconv.FormatUint(life, 10)

	if !s.ifeq.Load() {
		return s.swapByScript(ctx, w, old, record, px)
	}

	set := redis.NewStringCmd(ctx, "SET", w.name, record, "IFEQ", old, "PX", px)
	expiry := redis.NewIntCmd(ctx, "PEXPIRETIME", w.name)

	if err := s.exchange(ctx, w, len(old)+len(record), false, set, expiry); err != nil {
		return 0, err
	}

	switch err := set.Err(); {
	case errors.Is(err, redis.Nil):
		return 0, nil
	case err != nil:
		if unknownIFEQ(err) {
			s.ifeq.Store(false) // until Check finds IFEQ again
		}

		return 0, err //nolint:wrapcheck // judged by the caller
	}

	return expiry.Val(), expiry.Err() //nolint:wrapcheck // as above
}

// swapByScript is swap for servers without IFEQ.
func (s *Store) swapByScript(ctx context.Context, w *work, old string, record []byte, life string) (int64, error) {
	swap := &s.scripts.swap

	for _, by := range []struct{ command, script string }{{"EVALSHA", swap.sha}, {"EVAL", swap.source}} {
		cmd := redis.NewIntCmd(ctx, by.command, by.script, "1", w.name, old, record, life)
		cmd.SetFirstKeyPos(firstKey)

		if err := s.exchange(ctx, w, len(old)+len(record), false, cmd); err != nil {
			return 0, err
		}

		if expires, err := cmd.Result(); err == nil || !redis.HasErrorPrefix(err, "NOSCRIPT") {
			return expires, err //nolint:wrapcheck // judged by the caller
		}
	}

	return 0, nil // flushed again
}

// isReply reports whether err is an answer of a server.
func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)

	return ok
}
