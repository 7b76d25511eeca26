package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// work is an operation on one record: the name of the record, and the time limit.
type work struct {
	name            string
	began, deadline time.Time
}

// begin begins an operation on the record of a key. The engine's context has a deadline without a timer: see Capabilities.Bounded.
func (s *Store) begin(ctx context.Context, key *store.Key) work {
	now := time.Now()
	w := work{name: s.name(key), began: now, deadline: now.Add(s.timeout)}

	if earlier, ok := ctx.Deadline(); ok && earlier.Before(w.deadline) {
		w.deadline = earlier
	}

	return w
}

// Claim implements [store.Store]. The error matches store.ErrFull if the server has no memory for a new record. Claim also returns an error
// if Method or ReadableKey exceeds 65535 bytes.
func (s *Store) Claim(ctx context.Context, op store.Claim) (res store.Result, err error) {
	err = s.ClaimTo(ctx, &op, &res)

	return res, err
}

// ClaimTo implements [store.Direct].
func (s *Store) ClaimTo(ctx context.Context, op *store.Claim, res *store.Result) (err error) {
	defer s.report.Ended(ctx, store.OperationClaim, s.report.Clock(), res, &err)

	*res = store.Result{}

	err = s.claim(ctx, op, res)
	if refusal := err; isRefused(refusal) {
		if err = s.claimWhenRefused(ctx, op, res, refusal); !isRefused(err) {
			s.report.Refused(ctx, store.OperationClaim, refusal)
		}
	}

	if err != nil {
		*res = store.Result{}
	}

	return err
}

func (s *Store) claim(ctx context.Context, op *store.Claim, res *store.Result) error {
	w := s.begin(ctx, &op.Key)

	// Rule 7: an unsettled record does not expire while its owner may be alive.
	life := max(span(s.unknown), aliveSpan(op))

	made, err := appendFresh(make([]byte, 0, freshSize(op)), w.name, op, life)
	if err != nil {
		return err
	}

	answered, fresh := false, string(made)

	if op.Fence == 0 {
		answered, err = s.claimFirst(ctx, &w, fresh, s.lifeText(life), res)
	}

	if !answered {
		if op.Fence == 0 {
			s.report.Resent(ctx, store.OperationClaim, nil)
		}

		err = s.claimByScript(ctx, &w, op, fresh, life, res)
	}

	return err
}

// claimByScript makes a claim that may find a record.
func (s *Store) claimByScript(ctx context.Context, w *work, op *store.Claim, fresh string, life uint64, res *store.Result) error {
	args := make([]byte, 0, 64)
	args = append(args, op.Token[:]...)
	args = appendFence(args, op.Fence)
	args = append(args, byte(op.Guarantee&flagGuarantee))
	args = appendSpan(args, op.Lease)
	args = appendUint48(args, aliveSpan(op))
	args = binary.BigEndian.AppendUint32(args, op.MaxAttempts)
	args = appendRetention(args, op)
	args = appendSpan(args, s.unknown)

	reply, err := s.evaluate(ctx, w, &s.scripts.claim, args, []byte(fresh), s.lifeText(life))
	if err != nil {
		return err
	}

	record, expires, err := decodeReply(res, w.name, reply, fresh)

	switch {
	case err != nil:
	case res.Applied:
		s.giveReceipt(res, w, record, expires, nil)
	case res.Unknown() && !op.MayStart(&res.Record, res.Now): // otherwise a run follows, which has an entry of its own
		s.foundUnknown(w, &res.Record)
	}

	return err
}

// lifeText formats a life in milliseconds for Redis. Most lives are the unknown retention, which is already formatted.
func (s *Store) lifeText(life uint64) string {
	if life == span(s.unknown) {
		return s.life
	}

	return strconv.FormatUint(life, 10)
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, op store.Renewal) (res store.Result, err error) {
	defer s.report.Ended(ctx, store.OperationRenew, s.report.Clock(), &res, &err)

	w := s.begin(ctx, &op.Key)
	args := appendSpan(append(make([]byte, 0, 32), op.Token[:]...), op.Lease)
	args = appendSpan(args, s.unknown)

	reply, err := s.evaluate(ctx, &w, &s.scripts.renew, args, nil, "")
	if err != nil {
		return res, err
	}

	record, expires, err := decodeReply(&res, w.name, reply, "")
	if err == nil && res.Applied {
		s.giveReceipt(&res, &w, record, expires, s.entryOf(op.Receipt, w.name))
	}

	return res, err
}

// Complete implements [store.Store]. It works while the server is out of memory.
func (s *Store) Complete(ctx context.Context, op store.Completion) (res store.Result, err error) {
	err = s.CompleteTo(ctx, &op, &res)

	return res, err
}

// CompleteTo implements [store.Direct].
func (s *Store) CompleteTo(ctx context.Context, op *store.Completion, res *store.Result) (err error) {
	defer s.report.Ended(ctx, store.OperationComplete, s.report.Clock(), res, &err)

	*res = store.Result{}

	err = s.complete(ctx, op, res)
	if err != nil {
		*res = store.Result{}
	}

	return err
}

func (s *Store) complete(ctx context.Context, op *store.Completion, res *store.Result) (err error) {
	w := s.begin(ctx, &op.Key)
	answered := false

	if own := receiptOf(op.Receipt, w.name); own != nil {
		if answered, err = s.completeOwn(ctx, &w, own, op, res); !answered {
			s.report.Resent(ctx, store.OperationComplete, nil)
		}
	}

	if !answered {
		args := op.Token[:]
		if op.Retention > 0 {
			args = appendSpan(slices.Clone(args), op.Retention)
		}

		err = s.run(ctx, &w, &s.scripts.complete, args, op.Outcome, res)
		if err == nil && res.Applied {
			res.Record.Outcome = op.Outcome
		}
	}

	if err == nil {
		s.runOver(&w, op.Receipt, op.Token, res.Applied)
	}

	return err
}

// Release implements [store.Store]. It works while the server is out of memory.
func (s *Store) Release(ctx context.Context, op store.Release) (res store.Result, err error) {
	defer s.report.Ended(ctx, store.OperationRelease, s.report.Clock(), &res, &err)

	w := s.begin(ctx, &op.Claim.Key)

	identity, err := appendIdentity(make([]byte, checkStart-sealStart, 128), &op.Claim)
	if err != nil {
		return res, err
	}

	binary.BigEndian.PutUint32(identity, sealOf(w.name, string(identity[checkStart-sealStart:])))

	args := make([]byte, 0, 32)
	args = append(args, op.Claim.Token[:]...)
	args = appendFence(args, op.Claim.Fence)
	args = append(args, byte(op.Claim.Guarantee&flagGuarantee), 0)

	if op.Ambiguous {
		args[len(args)-1] = 1
	}

	err = s.run(ctx, &w, &s.scripts.release, appendRetention(args, &op.Claim), identity, &res)
	if err == nil {
		s.runOver(&w, op.Receipt, op.Claim.Token, res.Applied)
	}

	return res, err
}

// Hold implements [store.Store]. It works while the server is out of memory.
func (s *Store) Hold(ctx context.Context, op store.Hold) (res store.Result, err error) {
	defer s.report.Ended(ctx, store.OperationHold, s.report.Clock(), &res, &err)

	w := s.begin(ctx, &op.Key)
	args := appendSpan(append(make([]byte, 0, 24), op.Token[:]...), s.unknown)

	err = s.run(ctx, &w, &s.scripts.hold, args, op.Outcome, &res)
	if err == nil && res.Applied {
		s.runHeld(ctx, &w, &op, res.Record.EndedAt.UnixMilli())
	} else if err == nil {
		s.runOver(&w, op.Receipt, op.Token, false)
	}

	return res, err
}

// Lookup implements [store.Inspector].
func (s *Store) Lookup(ctx context.Context, key store.Key) (res store.Result, err error) {
	defer s.report.Answered(ctx, store.OperationLookup, s.report.Clock(), &err)

	err = s.lookup(ctx, &key, &res)

	return res, err
}

func (s *Store) lookup(ctx context.Context, key *store.Key, res *store.Result) error {
	w := s.begin(ctx, key)

	return s.run(ctx, &w, &s.scripts.lookup, nil, nil, res)
}

// Resolve implements [store.Inspector].
func (s *Store) Resolve(ctx context.Context, op store.Resolution) (res store.Result, err error) {
	defer s.report.Ended(ctx, store.OperationResolve, s.report.Clock(), &res, &err)

	w := s.begin(ctx, &op.Key)
	args := appendFence(append(make([]byte, 0, 32), op.Token[:]...), op.Fence)
	args = append(args, byte(op.State))
	args = appendTime(args, op.AsOf)

	err = s.run(ctx, &w, &s.scripts.resolve, args, op.Outcome, &res)
	if err == nil && res.Applied && res.Record.State == store.Completed {
		res.Record.Outcome = op.Outcome
	}

	return res, err
}

// run runs a script on a record. It takes one round trip if the server has the script, otherwise two.
func (s *Store) run(ctx context.Context, w *work, op *script, args, more []byte, res *store.Result) error {
	reply, err := s.evaluate(ctx, w, op, args, more, "")
	if err != nil {
		return err
	}

	_, _, err = decodeReply(res, w.name, reply, "")

	return err
}

// evaluate runs a script and returns its reply. Life is the life of the record in milliseconds. It is empty if the script does not need it.
func (s *Store) evaluate(ctx context.Context, w *work, op *script, args, more []byte, life string) (string, error) {
	size := len(args) + len(more)

	reply, err := s.send(ctx, w, op, size, newEval(ctx, "EVALSHA", op.sha, w.name, args, more, life))
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		s.report.Resent(ctx, store.Operation(op.name), err)

		reply, err = s.send(ctx, w, op, size, newEval(ctx, "EVAL", op.source, w.name, args, more, life))
	}

	if err != nil {
		return "", w.failure(op.name, err)
	}

	return reply, nil
}

func (s *Store) send(ctx context.Context, w *work, op *script, size int, cmd *redis.StringCmd) (string, error) {
	if err := s.exchange(ctx, w, size, op.reads, cmd); err != nil {
		return "", err // wrapped by evaluate
	}

	return cmd.Result() //nolint:wrapcheck // as above
}

// exchange sends commands on the record together and waits for their answers. Size and reads are as in request. After an error the commands
// may still arrive, and must not be read.
func (s *Store) exchange(ctx context.Context, w *work, size int, reads bool, cmds ...redis.Cmder) error {
	return s.batches.do(w.name, &request{ //nolint:contextcheck // the request has it
		ctx: ctx, deadline: w.deadline, cmds: cmds, size: size, reads: reads,
	})
}

// firstKey is the position of a script's key in its command, behind the script and the number of keys.
const firstKey = 3

// newEval returns a command that runs a script on a record.
func newEval(ctx context.Context, command, what, name string, args, more []byte, life string) *redis.StringCmd {
	words := append(make([]any, 0, 7), command, what, "1", name, args, more)

	if life != "" {
		words = append(words, life)
	}

	cmd := redis.NewStringCmd(ctx, words...)
	cmd.SetFirstKeyPos(firstKey)

	return cmd
}

// failure describes the error of an operation.
func (w *work) failure(operation string, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(w.deadline) {
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err) // the error of the connection may not match DeadlineExceeded
	}

	return failure(operation, err)
}

// failure describes an error of the server or the connection.
func failure(operation string, err error) error {
	switch {
	case redis.IsOOMError(err):
		return fmt.Errorf("redisstore: %s: %w: %w", operation, store.ErrFull, err)
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return fmt.Errorf("redisstore: %s: another type is stored under the name of a record: %w: %w", operation, store.ErrUnreadable, err)
	default:
		return fmt.Errorf("redisstore: %s: %w", operation, err)
	}
}

// name returns the name of a record: the prefix and the bytes of the key. Callers cannot choose any of it. In a cluster every record has
// its own slot.
func (s *Store) name(key *store.Key) string { return s.prefix + string(key[:]) }
