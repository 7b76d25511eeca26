package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// Claim implements [store.Store]. Its error matches store.ErrFull when the server has no memory left for new records.
func (s *Store) Claim(ctx context.Context, op store.Claim) (res store.Result, err error) {
	name := s.name(&op.Key)

	// Rule 7: a record that is not settled does not expire while its owner may be alive.
	life := max(span(s.unknown), aliveSpan(&op))

	fresh, err := appendFresh(make([]byte, 0, aliveStart+openSize+namesStart+len(op.Method)+len(op.ReadableKey)), name, &op, life)
	if err != nil {
		return res, err
	}

	args := make([]byte, 0, 64)
	args = append(args, op.Token[:]...)
	args = appendFence(args, op.Fence)
	args = append(args, byte(op.Guarantee&flagGuarantee))
	args = appendSpan(args, op.Lease)
	args = appendUint48(args, aliveSpan(&op))
	args = binary.BigEndian.AppendUint32(args, op.MaxAttempts)
	args = appendRetention(args, &op)
	args = appendSpan(args, s.unknown)

	err = s.run(ctx, &s.scripts.claim, name, args, fresh, s.lifeText(life), &res)
	if err != nil && (errors.Is(err, store.ErrFull) || refusesWrites(err)) {
		return s.claimWhenRefused(ctx, &op, err)
	}

	return res, err
}

// claimWhenRefused answers a claim that the server has refused because its memory is full or because it refuses all writes. If the
// claim has nothing to write, because the key is completed or somebody runs it, the answer is as always. The client may have sent the
// claim twice, and the first copy may have won. ErrFull must mean that nothing changed.
func (s *Store) claimWhenRefused(ctx context.Context, op *store.Claim, refused error) (store.Result, error) {
	res, err := s.Lookup(ctx, op.Key)
	if err != nil {
		return store.Result{}, err // whether the claim has won is not known
	}

	switch decided := op.Apply(res.Record, res.Now); {
	case !decided.Changed:
		res.Applied = decided.Applied

		return res, nil
	case res.Record.Token == op.Token:
		// Not ErrFull, since something changed.
		return store.Result{}, fmt.Errorf("redisstore: claim: it has won and its lease has ended: %v", refused) //nolint:errorlint // as said
	default:
		return store.Result{}, refused
	}
}

// lifeText is a life in milliseconds as Redis reads it. Most lives are the unknown retention.
func (s *Store) lifeText(life uint64) string {
	if life == span(s.unknown) {
		return s.life
	}

	return strconv.FormatUint(life, 10)
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, op store.Renewal) (res store.Result, err error) {
	args := appendSpan(append(make([]byte, 0, 32), op.Token[:]...), op.Lease)
	args = appendSpan(args, s.unknown)

	err = s.run(ctx, &s.scripts.renew, s.name(&op.Key), args, nil, "", &res)

	return res, err
}

// Complete implements [store.Store]. It works while the server is out of memory.
func (s *Store) Complete(ctx context.Context, op store.Completion) (res store.Result, err error) {
	args := op.Token[:]
	if op.Retention > 0 {
		args = appendSpan(slices.Clone(args), op.Retention)
	}

	err = s.run(ctx, &s.scripts.complete, s.name(&op.Key), args, op.Outcome, "", &res)
	if err == nil && res.Applied {
		res.Record.Outcome = op.Outcome
	}

	return res, err
}

// Release implements [store.Store]. It works while the server is out of memory.
func (s *Store) Release(ctx context.Context, op store.Release) (res store.Result, err error) {
	name := s.name(&op.Claim.Key)

	identity, err := appendIdentity(make([]byte, checkStart-sealStart, 128), &op.Claim)
	if err != nil {
		return res, err
	}

	binary.BigEndian.PutUint32(identity, sealOf(name, string(identity[checkStart-sealStart:])))

	args := make([]byte, 0, 32)
	args = append(args, op.Claim.Token[:]...)
	args = appendFence(args, op.Claim.Fence)
	args = append(args, byte(op.Claim.Guarantee&flagGuarantee), 0)

	if op.Ambiguous {
		args[len(args)-1] = 1
	}

	err = s.run(ctx, &s.scripts.release, name, appendRetention(args, &op.Claim), identity, "", &res)

	return res, err
}

// Hold implements [store.Store]. It works while the server is out of memory.
func (s *Store) Hold(ctx context.Context, op store.Hold) (res store.Result, err error) {
	args := appendSpan(append(make([]byte, 0, 24), op.Token[:]...), s.unknown)

	err = s.run(ctx, &s.scripts.hold, s.name(&op.Key), args, op.Outcome, "", &res)

	return res, err
}

// Lookup implements [store.Inspector].
func (s *Store) Lookup(ctx context.Context, key store.Key) (res store.Result, err error) {
	err = s.run(ctx, &s.scripts.lookup, s.name(&key), nil, nil, "", &res)

	return res, err
}

// Resolve implements [store.Inspector].
func (s *Store) Resolve(ctx context.Context, op store.Resolution) (res store.Result, err error) {
	args := appendFence(append(make([]byte, 0, 32), op.Token[:]...), op.Fence)
	args = append(args, byte(op.State))
	args = appendTime(args, op.AsOf)

	err = s.run(ctx, &s.scripts.resolve, s.name(&op.Key), args, op.Outcome, "", &res)
	if err == nil && res.Applied && res.Record.State == store.Completed {
		res.Record.Outcome = op.Outcome
	}

	return res, err
}

// run runs a script on the record with the given name, in one round trip unless the server does not know the script. The
// life of the record, in milliseconds, is left out where the script has no short way that needs it.
func (s *Store) run(ctx context.Context, op *script, name string, args, more []byte, life string, res *store.Result) error {
	reply, err := s.evaluate(ctx, op, name, args, more, life)
	if err != nil {
		return err
	}

	return decodeReply(res, name, reply, more)
}

// evaluate is run without reading the reply.
func (s *Store) evaluate(ctx context.Context, op *script, name string, args, more []byte, life string) (string, error) {
	// The engine's deadline comes without a timer: see Capabilities.Bounded.
	deadline := time.Now().Add(s.timeout)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}

	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()

	reply, err := s.send(ctx, "EVALSHA", op.sha, name, args, more, life)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = s.send(ctx, "EVAL", op.source, name, args, more, life)
	}

	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(deadline) {
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err) // which the connection may call by another name
	}

	if err != nil {
		return "", failure(op.name, err)
	}

	return reply, nil
}

func (s *Store) send(ctx context.Context, command, what, name string, args, more []byte, life string) (string, error) {
	index := ""
	if s.indexed {
		index = s.indexOf(name)
	}

	cmd := newEval(ctx, command, what, name, index, args, more, life)

	err := s.batches.do(ctx, name, cmd)
	if err != nil {
		return "", err // wrapped by run
	}

	return cmd.Result() //nolint:wrapcheck // as above
}

// newEval is a command that runs a script on the record with a name, and on its index where that is not empty.
func newEval(ctx context.Context, command, what, name, index string, args, more []byte, life string) *redis.StringCmd {
	words := make([]any, 0, 8)

	if index != "" {
		words = append(words, command, what, "2", name, index, args, more)
	} else {
		words = append(words, command, what, "1", name, args, more)
	}

	if life != "" {
		words = append(words, life)
	}

	cmd := redis.NewStringCmd(ctx, words...)
	cmd.SetFirstKeyPos(3)

	return cmd
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
