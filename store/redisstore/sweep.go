package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// Swept is what a sweep has done.
type Swept struct {
	// Records is how many records it has looked at.
	Records int64
	// Found is how many of them were not settled and not in the index, and are now.
	Found int64
}

// sweepPace is how slowly keys are looked at.
type sweepPace struct {
	// page is about how many keys of a server are looked at together, and pause is the time between pages.
	page  int
	pause time.Duration
	// every is the time from the end of a sweep to the next one.
	every time.Duration
	// turn is for how long a process that dies holds up the others.
	turn time.Duration
}

// slowly takes one or two hundredths of a server: 5 million keys take about 20 minutes and 14 seconds of its time.
func slowly() sweepPace {
	return sweepPace{page: 100, pause: 25 * time.Millisecond, every: time.Hour, turn: 30 * time.Second}
}

// keepPosition is for how long the position of a sweep is kept that nobody continues.
const keepPosition = 24 * time.Hour

// Sweep looks at every key of every server once, and adds the records to the index that are not settled and that the index lacks: those
// of processes that died within about 100 ms of their claim, and those that were claimed under [WithoutIndex]. A server with 5 million keys
// spends about 14 seconds on it. An error leaves the rest of the keys of that server to another Sweep. See [Store.Run].
func (s *Store) Sweep(ctx context.Context) (Swept, error) {
	pace := s.sweep
	pace.pause = 0

	return s.sweepAll(ctx, func(ctx context.Context, _ string, server Client, done *Swept) error {
		for cursor := uint64(0); ; {
			next, err := s.sweepPage(ctx, server, cursor, pace.page, done)
			if err != nil || next == 0 {
				return err
			}

			cursor = next
		}
	})
}

// Run sweeps slowly, again and again, until its context ends, which is no error. It is for one goroutine of any number of processes, which
// take turns: a server is swept by one process at a time, an hour after the end of the last sweep. Another process continues where one
// has stopped. A sweep that fails is logged to [slog.Default] and continued later.
//
// It is not needed for calls. Without it, a list lacks the records of processes that died within about 100 ms of their claim, and these
// records stay unknown until their key is used again, or until they expire.
func (s *Store) Run(ctx context.Context) error {
	if s.index == nil {
		return errors.New("redisstore: Run keeps the index, and the store was made WithoutIndex: leave out one of them")
	}

	failed := false

	for {
		_, err := s.sweepAll(ctx, s.sweepInTurn)
		if err != nil && !failed && ctx.Err() == nil {
			slog.WarnContext(ctx, "the sweep of unsettled records in Redis has failed, and is continued later", "error", err)
		}

		failed = err != nil

		if pause(ctx, min(s.sweep.every, s.sweep.turn)) != nil {
			return nil //nolint:nilerr // the end of the context is none
		}
	}
}

// pause waits, and returns the error of a context that has ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	}
}

// sweepAll sweeps all servers at the same time.
func (s *Store) sweepAll(
	ctx context.Context, sweep func(ctx context.Context, address string, server Client, done *Swept) error,
) (Swept, error) {
	var (
		mu   sync.Mutex
		all  Swept
		errs []error
	)

	one := func(ctx context.Context, address string, server Client) {
		var done Swept

		err := sweep(ctx, address, server, &done)

		mu.Lock()
		defer mu.Unlock()

		all.Records += done.Records
		all.Found += done.Found
		errs = append(errs, err)
	}

	if s.index == nil {
		return all, errors.New("redisstore: Sweep fills the index, and the store was made WithoutIndex")
	}

	cluster, isCluster := s.client.(*redis.ClusterClient)
	if !isCluster {
		one(ctx, "", s.client)

		return all, errors.Join(errs...)
	}

	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		one(ctx, master.Options().Addr, master)

		return nil // so that the others are swept as well
	})
	if err != nil {
		errs = append(errs, fmt.Errorf("redisstore: sweep: %w", err))
	}

	return all, errors.Join(errs...)
}

// sweepPage looks at some keys of a server, and returns where to go on; 0 is the end.
func (s *Store) sweepPage(ctx context.Context, server Client, cursor uint64, page int, done *Swept) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	scan := redis.NewScanCmd(ctx, nil, "SCAN", cursor, "MATCH", escaped(s.prefix)+"*", "COUNT", page)
	if err := process(ctx, server, scan); err != nil {
		return cursor, failure("sweep", err)
	}

	names, next := scan.Val()

	open, err := s.unsettled(ctx, names, done)
	if err != nil {
		return cursor, err
	}

	before := done.Found
	err = s.enter(ctx, open, done)
	s.report.Repaired(ctx, store.OperationSweep, int(done.Found-before))

	if err != nil {
		return cursor, err
	}

	return next, nil
}

// escaped is a prefix as a pattern of SCAN.
func escaped(prefix string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(prefix)
}

// unsettled are those of some names whose records are not settled, going by the byte that tells the state.
func (s *Store) unsettled(ctx context.Context, names []string, done *Swept) ([]listEntry, error) {
	var (
		records []listEntry
		cmds    []redis.Cmder
	)

	for _, name := range names {
		if _, ok := keyOf(s.memberOf(name)); ok {
			records = append(records, listEntry{member: s.memberOf(name)})
			cmds = append(cmds, redis.NewStringCmd(ctx, "GETRANGE", name, stateStart, stateStart))
		}
	}

	if err := s.together(ctx, cmds); err != nil {
		return nil, failure("sweep", err)
	}

	open := records[:0]

	for i, cmd := range cmds {
		state, err := cmd.(*redis.StringCmd).Result() //nolint:forcetypeassert,errcheck // made above

		switch {
		case err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE"):
			return nil, failure("sweep", err)
		case err != nil || state == "": // not a record, or gone
			continue
		}

		done.Records++

		if is := store.State(state[0]); is == store.Running || is == store.Unknown {
			open = append(open, records[i])
		}
	}

	return open, nil
}

// enter adds records to the index that are not settled and that it lacks.
func (s *Store) enter(ctx context.Context, open []listEntry, done *Swept) error {
	if len(open) == 0 {
		return nil
	}

	replies, err := s.lookups(ctx, open)
	if err != nil {
		return err
	}

	var missing [indexes][]any

	for i, e := range open {
		var res store.Result

		reply, err := replies[i].Result()
		if err == nil {
			_, _, err = decodeReply(&res, s.prefix+e.member, reply, "")
		}

		score := scoreOf(&res.Record)

		switch {
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			score = lookedAt(reply) // so that a list names it
		case err != nil && !isReply(err):
			return failure("sweep", err)
		case score == 0:
			continue
		}

		n := numberOf(e.member)
		missing[n] = append(missing[n], score, e.member)
	}

	var cmds []redis.Cmder

	for n, added := range missing {
		if len(added) > 0 {
			cmds = append(cmds, onIndex(ctx, &s.scripts.enter, s.index.queues[n].name, append([]any{"NX"}, added...)...))
		}
	}

	if err := s.together(ctx, cmds); err != nil {
		return failure("sweep", err)
	}

	for _, cmd := range cmds {
		n, err := cmd.(*redis.IntCmd).Result() //nolint:forcetypeassert,errcheck // made above
		if err != nil {
			return failure("sweep", err)
		}

		done.Found += n
	}

	return nil
}

// lookedAt is when the server has made a reply. It is 1 if the reply does not say.
func lookedAt(reply string) int64 {
	if len(reply) < replyHeader {
		return 1
	}

	return uint48At(reply, 1)
}

// sweepInTurn sweeps a server from where the last process has stopped, unless another process does, or has done so a short time ago.
func (s *Store) sweepInTurn(ctx context.Context, address string, server Client, done *Swept) error {
	turn, position := s.prefix+"sweep:"+address, s.prefix+"swept:"+address
	token := rand.Text()

	var taken *redis.StringCmd

	at := redis.NewStringCmd(ctx, "GET", position)
	err := s.bounded(ctx, func(ctx context.Context) error {
		taken = redis.NewStringCmd(ctx, "SET", turn, token, "NX", "PX", s.sweep.turn.Milliseconds())

		return s.together(ctx, []redis.Cmder{taken, at})
	})

	switch {
	case err != nil:
		return err
	case errors.Is(taken.Err(), redis.Nil): // another process has the turn
		return nil
	case taken.Err() != nil:
		return failure("sweep", taken.Err())
	case at.Val() == sweepOver:
		return s.put(ctx, turn, "", 1)
	}

	cursor, _ := strconv.ParseUint(at.Val(), 10, 64) // without a position it begins at the beginning

	for {
		next, err := s.sweepPage(ctx, server, cursor, s.sweep.page, done)
		if err != nil {
			return err
		}

		if next == 0 {
			return errors.Join(s.put(ctx, position, sweepOver, s.sweep.every), s.put(ctx, turn, "", 1))
		}

		cursor = next

		if err := errors.Join(
			s.put(ctx, position, strconv.FormatUint(cursor, 10), keepPosition), s.put(ctx, turn, token, s.sweep.turn),
		); err != nil {
			return err
		}

		if err := pause(ctx, s.sweep.pause); err != nil {
			return err
		}
	}
}

// sweepOver is the position of a sweep that has come to the end. It expires when it is time for another one.
const sweepOver = "over"

// put stores a value for a time.
func (s *Store) put(ctx context.Context, name, value string, life time.Duration) error {
	return s.bounded(ctx, func(ctx context.Context) error {
		return process(ctx, s.client, redis.NewStringCmd(ctx, "SET", name, value, "PX", max(life.Milliseconds(), 1)))
	})
}

// bounded gives a call the time of an operation.
func (s *Store) bounded(ctx context.Context, call func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	if err := call(ctx); err != nil {
		return failure("sweep", err)
	}

	return nil
}
