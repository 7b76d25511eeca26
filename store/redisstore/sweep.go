package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// Swept is the result of a Sweep, up to its error if there was one.
type Swept struct {
	// Records is the number of records that were read.
	Records int64
	// Found is the number of unsettled records that were added to the index.
	Found int64
}

// sweepPace is the speed of a sweep.
type sweepPace struct {
	// page is the approximate number of keys that are read at once on a server. pause is the time between pages.
	page  int
	pause time.Duration
	// every is the time from the end of a sweep to the next one.
	every time.Duration
	// turn is how long a process that dies blocks the others.
	turn time.Duration
}

// slowly takes one or two hundredths of a server's time: 5 million keys take about 20 minutes, and 14 s of its time.
func slowly() sweepPace {
	return sweepPace{page: 100, pause: 25 * time.Millisecond, every: time.Hour, turn: 30 * time.Second}
}

// Sweep reads every key of every server once, and adds missing unsettled records to the index. They come from processes that died within
// about 100 ms of a claim, or were claimed under [WithoutIndex]. 5 million keys cost a server about 14 s of its time.
//   - An error names what another Sweep must do: the rest of a server's keys, or the entries of a set that could not be written. Sweep
//     still sweeps the other servers and sets.
//   - Sweep returns an error under WithoutIndex, and for a cluster if the client is not a *redis.ClusterClient.
//   - A record whose slot moves to a server that was already swept may be missed. See [Store.Run].
func (s *Store) Sweep(ctx context.Context) (Swept, error) {
	began := s.report.Clock()
	done, err := s.sweepAll(ctx, func(ctx context.Context, _ string, sweep *serverSweep) error {
		for at := (position{}); ; {
			var (
				isLast bool
				err    error
			)

			if at, isLast, err = sweep.page(ctx, at); err != nil || isLast {
				return err
			}
		}
	})
	s.report.Swept(ctx, began, 0, err)

	return done, err
}

// Run sweeps slowly, again and again, until ctx ends. Then it returns nil. Start it in one goroutine of each process: the processes take
// turns. A server is swept by one process at a time, an hour after the end of its last sweep. Another process continues an interrupted
// sweep. The next sweep finds what a sweep missed: see [Store.Sweep].
//   - The observer of [WithObserver] gets an event for each sweep that read records or failed. Without an observer, failures are logged to
//     [slog.Default], and Run tries again.
//   - Run returns an error at once under WithoutIndex, and for a cluster if the client is not a *redis.ClusterClient.
//
// Calls do not need Run. Without it, lists lack the records of processes that died within about 100 ms of a claim. These records stay
// unknown until their key is used again, or until they expire.
func (s *Store) Run(ctx context.Context) error {
	if s.index == nil {
		return errors.New("redisstore: Run: the store has no index: remove WithoutIndex, or do not call Run")
	}

	for failures := 0; ; {
		began := s.report.Clock()
		done, err := s.sweepAll(ctx, s.sweepInTurn)

		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of the context is none
		}

		if errors.Is(err, errNoCluster) {
			return err
		}

		if err != nil || done.Records > 0 {
			s.report.Swept(ctx, began, 0, err)
		}

		if err != nil {
			failures++
		}

		s.report.Log(ctx, "sweeping", failures, err, "prefix", s.prefix)

		if err == nil {
			failures = 0
		}

		if pause(ctx, min(s.sweep.every, s.sweep.turn)) != nil {
			return nil //nolint:nilerr // the end of the context is none
		}
	}
}

// pause waits for d. It returns an error if ctx ends before.
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

// sweepAll sweeps all servers concurrently.
func (s *Store) sweepAll(ctx context.Context, carryOut func(ctx context.Context, address string, sweep *serverSweep) error) (Swept, error) {
	var (
		mu   sync.Mutex
		all  Swept
		errs []error
	)

	one := func(ctx context.Context, address string, server Client) {
		sweep := serverSweep{store: s, server: server}
		err := errors.Join(carryOut(ctx, address, &sweep), errors.Join(sweep.failed[:]...))

		mu.Lock()
		defer mu.Unlock()

		all.Records += sweep.done.Records
		all.Found += sweep.done.Found
		errs = append(errs, err)
	}

	if s.index == nil {
		return all, errors.New("redisstore: Sweep: the store has no index: remove WithoutIndex, or do not call Sweep")
	}

	cluster, isCluster := s.client.(*redis.ClusterClient)
	if !isCluster {
		if err := s.checkOneServer(ctx); err != nil {
			return all, err
		}

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

// checkOneServer returns an error if the client hides other servers. Without the right to INFO it cannot know, and returns none.
func (s *Store) checkOneServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	info := redis.NewStringCmd(ctx, "INFO", "cluster")
	if err := process(ctx, s.client, info); err != nil && !isReply(err) {
		return failure("sweep", err)
	}

	return s.checkClient("the server", fields(info.Val()))
}

// sweepInTurn continues the sweep of a server, unless another process sweeps it, or did so a short time ago.
func (s *Store) sweepInTurn(ctx context.Context, address string, sweep *serverSweep) (err error) {
	turn := s.newTurn(ctx, address, sweep.server)

	place, mine, err := turn.take(ctx)
	if err != nil || !mine {
		return err
	}

	defer func() {
		// The next process need not wait for the end of the turn.
		if failed := turn.release(context.WithoutCancel(ctx)); err == nil {
			err = failed
		}
	}()

	if place == sweepOver {
		return nil
	}

	for at := positionOf(place); ; {
		next, isLast, err := sweep.page(ctx, at)
		if err != nil {
			return err
		}

		if mine, err := turn.keep(ctx); err != nil || !mine {
			return err // another process has the turn by now and continues
		}

		if isLast {
			return turn.move(ctx, sweepOver, s.sweep.every)
		}

		if err := turn.move(ctx, next.String(), keepPosition); err != nil {
			return err
		}

		at = next

		if err := pause(ctx, s.sweep.pause); err != nil {
			return err
		}
	}
}

// serverSweep is the sweep of one server.
type serverSweep struct {
	store  *Store
	server Client
	done   Swept
	// failed are the errors of sets that cannot be written. Their records are left to the next sweep.
	failed [indexes]error
}

// page reads some keys of the server. It returns the next position, and whether this was the last page. If the position belongs to another
// server, page reads nothing, and the sweep begins again.
func (w *serverSweep) page(ctx context.Context, at position) (next position, isLast bool, err error) {
	s := w.store
	defer s.report.Answered(ctx, store.OperationSweep, s.report.Clock(), &err)

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	names, next, err := w.scan(ctx, at)
	if err != nil {
		return at, false, err
	}

	if at.cursor != 0 && at.run != next.run {
		return position{}, false, nil
	}

	open, err := w.unsettled(ctx, names)
	if err != nil {
		return at, false, err
	}

	missing, err := w.scores(ctx, open)
	if err != nil {
		return at, false, err
	}

	return next, next.cursor == 0, w.enter(ctx, &missing)
}

// scan reads some names and returns the next position. Without the right to INFO the position has no run of the server.
func (w *serverSweep) scan(ctx context.Context, at position) (names []string, next position, err error) {
	info := redis.NewStringCmd(ctx, "INFO", "server")
	scan := redis.NewScanCmd(ctx, nil, "SCAN", at.cursor, "MATCH", escaped(w.store.prefix)+"*", "COUNT", w.store.sweep.page)

	if err := processTogether(ctx, w.server, info, scan); err != nil {
		return nil, at, failure("sweep", err)
	}

	if err := scan.Err(); err != nil {
		return nil, at, failure("sweep", err)
	}

	names, next.cursor = scan.Val()
	next.run = fields(info.Val())["run_id"]

	return names, next, nil
}

// escaped returns a prefix as a pattern of SCAN.
func escaped(prefix string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(prefix)
}

// unsettled returns the names whose records are unsettled by the byte of their state.
func (w *serverSweep) unsettled(ctx context.Context, names []string) ([]listEntry, error) {
	var (
		records []listEntry
		cmds    []redis.Cmder
	)

	for _, name := range names {
		member := w.store.memberOf(name)
		if _, ok := keyOf(member); ok {
			records = append(records, listEntry{member: member})
			cmds = append(cmds, redis.NewStringCmd(ctx, "GETRANGE", name, stateStart, stateStart))
		}
	}

	if err := w.store.together(ctx, cmds); err != nil {
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

		w.done.Records++

		if is := store.State(state[0]); is == store.Running || is == store.Unknown {
			open = append(open, records[i])
		}
	}

	return open, nil
}

// scores returns the scores and members of unsettled records that the index lacks, by the number of their set.
func (w *serverSweep) scores(ctx context.Context, open []listEntry) (missing [indexes][]any, err error) {
	replies, err := w.store.lookups(ctx, open)
	if err != nil {
		return missing, err
	}

	for i, e := range open {
		var res store.Result

		reply, err := replies[i].Result()
		if err == nil {
			_, _, err = decodeReply(&res, w.store.prefix+e.member, reply, "")
		}

		score := scoreOf(&res.Record)

		switch {
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			score = replyTime(reply) // so that a list reports the damaged record
		case err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE"): // WRONGTYPE: another type has the name
			return missing, failure("sweep", err)
		case score == 0:
			continue
		}

		n := numberOf(e.member)
		missing[n] = append(missing[n], score, e.member)
	}

	return missing, nil
}

// enter adds missing records to the index. A set that cannot be written does not stop the others.
func (w *serverSweep) enter(ctx context.Context, missing *[indexes][]any) error {
	var (
		s       = w.store
		cmds    []redis.Cmder
		sets    []int
		entries int
		problem error
	)

	for n, added := range missing {
		if len(added) > 0 && w.failed[n] == nil {
			cmds = append(cmds, onIndex(ctx, &s.scripts.enter, s.index.queues[n].name, append([]any{"NX"}, added...)...))
			sets, entries = append(sets, n), entries+len(added)/2 // each with its score
		}
	}

	if len(cmds) == 0 {
		return nil
	}

	defer s.report.Indexed(ctx, s.report.Clock(), entries, &problem)

	if problem = s.together(ctx, cmds); problem != nil {
		return failure("sweep", problem)
	}

	found := int64(0)

	for i, cmd := range cmds {
		n, err := cmd.(*redis.IntCmd).Result() //nolint:forcetypeassert,errcheck // made above
		if err != nil {
			problem = indexFailure("adding records to", s.index.queues[sets[i]].name, err)
			if !isReply(err) && s.batches.servers.cluster == nil {
				return problem
			}

			w.failed[sets[i]] = problem
		}

		found += n
	}

	w.done.Found += found
	s.report.Repaired(ctx, store.OperationSweep, int(found))

	return nil
}

// replyTime returns when the server made a reply, or 1 if the reply is cut short.
func replyTime(reply string) int64 {
	if len(reply) < replyHeader {
		return 1
	}

	return uint48At(reply, 1)
}
