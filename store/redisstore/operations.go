package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// Claim implements [store.Store]. Its error matches store.ErrFull when the server has no memory left for new records.
func (s *Store) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	name := s.name(&op.Key)

	fresh, err := appendFresh(make([]byte, 0, aliveStart+timeSize+namesStart+len(op.Method)+len(op.ReadableKey)), name, &op, s.unsettled)
	if err != nil {
		return store.Result{}, err
	}

	args := make([]byte, 0, 64)
	args = append(args, op.Token[:]...)
	args = appendFence(args, op.Fence)
	args = append(args, byte(op.Guarantee&flagGuarantee))
	args = appendSpan(args, op.Lease)
	args = appendSpan(args, sum(op.MaxRun, op.Lease))
	args = binary.BigEndian.AppendUint32(args, op.MaxAttempts)
	args = appendSpan(args, op.Retention)
	args = appendSpan(args, s.unsettled)

	res, err := s.run(ctx, &s.scripts.claim, name, args, fresh)
	if err != nil && errors.Is(err, store.ErrFull) {
		return s.claimWhenFull(ctx, &op, err)
	}

	return res, err
}

// claimWhenFull answers a claim that the server has refused for want of memory. The client may have sent it twice, and
// the first copy may have won; a refusal must mean that nothing changed.
func (s *Store) claimWhenFull(ctx context.Context, op *store.Claim, full error) (store.Result, error) {
	res, err := s.Lookup(ctx, op.Key)
	if err != nil {
		return store.Result{}, err // whether the claim has won is not known
	}

	if rec := &res.Record; rec.Token == op.Token && rec.LeaseAlive(res.Now) {
		res.Applied = true

		return res, nil
	}

	return store.Result{}, full
}

// sum adds two durations and does not overflow.
func sum(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}

	return a + b
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	args := appendSpan(append(make([]byte, 0, 24), op.Token[:]...), op.Lease)

	return s.run(ctx, &s.scripts.renew, s.name(&op.Key), args, nil)
}

// Complete implements [store.Store]. It works while the server is out of memory.
func (s *Store) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	args := appendSpan(append(make([]byte, 0, 24), op.Token[:]...), op.Retention)

	res, err := s.run(ctx, &s.scripts.complete, s.name(&op.Key), args, op.Outcome)
	if err == nil && res.Applied {
		res.Record.Outcome = op.Outcome
	}

	return res, err
}

// Release implements [store.Store]. It works while the server is out of memory.
func (s *Store) Release(ctx context.Context, op store.Release) (store.Result, error) {
	identity, err := appendIdentity(nil, &op.Claim)
	if err != nil {
		return store.Result{}, err
	}

	args := make([]byte, 0, 32)
	args = append(args, op.Claim.Token[:]...)
	args = appendFence(args, op.Claim.Fence)
	args = append(args, byte(op.Claim.Guarantee&flagGuarantee), 0)

	if op.Ambiguous {
		args[len(args)-1] = 1
	}

	return s.run(ctx, &s.scripts.release, s.name(&op.Claim.Key), appendSpan(args, op.Retention), identity)
}

// Hold implements [store.Store]. It works while the server is out of memory.
func (s *Store) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	args := appendSpan(append(make([]byte, 0, 24), op.Token[:]...), s.unsettled)

	return s.run(ctx, &s.scripts.hold, s.name(&op.Key), args, op.Outcome)
}

// Lookup implements [store.Inspector].
func (s *Store) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	return s.run(ctx, &s.scripts.lookup, s.name(&key), nil, nil)
}

// Resolve implements [store.Inspector].
func (s *Store) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	args := make([]byte, 0, 24)
	args = appendFence(args, op.Fence)
	args = append(args, byte(op.State))
	args = appendTime(args, op.AsOf)
	args = appendSpan(args, op.Retention)

	res, err := s.run(ctx, &s.scripts.resolve, s.name(&op.Key), args, op.Outcome)
	if err == nil && res.Applied && res.Record.State == store.Completed {
		res.Record.Outcome = op.Outcome
	}

	return res, err
}

// run runs a script on the record of a key, in one round trip unless the server does not know the script.
func (s *Store) run(ctx context.Context, op *script, name string, args, more []byte) (store.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	reply, err := s.send(ctx, "EVALSHA", op.sha, name, args, more)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = s.send(ctx, "EVAL", op.source, name, args, more)
	}

	if err != nil {
		return store.Result{}, failure(op.name, err)
	}

	return decodeReply(name, reply, more)
}

func (s *Store) send(ctx context.Context, command, what, name string, args, more []byte) (string, error) {
	var cmd *redis.StringCmd
	if s.indexed {
		cmd = redis.NewStringCmd(ctx, command, what, "2", name, s.indexOf(name), args, more)
	} else {
		cmd = redis.NewStringCmd(ctx, command, what, "1", name, args, more)
	}

	cmd.SetFirstKeyPos(3)

	err := s.batches.do(ctx, name, cmd)
	if err != nil {
		return "", err // wrapped by run
	}

	return cmd.Result() //nolint:wrapcheck // as above
}

// failure says what an error of the server or of the connection means.
func failure(operation string, err error) error {
	switch {
	case redis.IsOOMError(err):
		return fmt.Errorf("redisstore: %s: %w: %w", operation, store.ErrFull, err)
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return fmt.Errorf("redisstore: %s: something else is stored under the name of a record: %w: %w", operation, store.ErrUnreadable, err)
	default:
		return fmt.Errorf("redisstore: %s: %w", operation, err)
	}
}

// tagSize is the length of a hash tag with its braces, as in "{7f}".
const tagSize = 4

// name is the name of a record: the prefix, a hash tag of the first byte of its key, and the other bytes as they are. A
// caller cannot choose any of it.
func (s *Store) name(key *store.Key) string {
	const digits = "0123456789abcdef"

	var b strings.Builder

	b.Grow(len(s.prefix) + tagSize + len(key) - 1)
	b.WriteString(s.prefix)
	b.WriteByte('{')
	b.WriteByte(digits[key[0]>>4])
	b.WriteByte(digits[key[0]&0xf])
	b.WriteByte('}')
	b.Write(key[1:])

	return b.String()
}

// indexOf is the name of the index that the record with the given name is in: the part of it that its slot depends on.
func (s *Store) indexOf(name string) string { return name[:len(s.prefix)+tagSize] }
