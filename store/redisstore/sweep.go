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

// Sweep looks at every key of every server once, and adds the records to the index that are not settled and that the index lacks: those
// of processes that died within about 100 ms of their claim, and those that were claimed under [WithoutIndex]. A server with 5 million keys
// spends about 14 seconds on it.
//
// An error names what is left to another Sweep: the rest of the keys of a server, or the entries of a set of the index that cannot be
// written. The other servers and sets are swept all the same. Sweep refuses servers of a cluster if the client is not a
// *redis.ClusterClient. A record whose slot moves meanwhile from a server that is not yet swept to
// one that is, may be missed. See [Store.Run].
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

// Run sweeps slowly, again and again, until its context ends, which is no error. It is for one goroutine of any number of processes, which
// take turns: a server is swept by one process at a time, an hour after the end of the last sweep. Another process continues where one
// has stopped. A sweep that has failed is continued later. The next sweep, an hour later, finds what a sweep has missed: see [Store.Sweep].
// The observer of [WithObserver] sees each sweep that has looked at records or has failed. Without an observer, failures are logged to
// [slog.Default]. Run fails at once if the store was made WithoutIndex, and if the servers are a cluster and the client is not a
// *redis.ClusterClient.
//
// It is not needed for calls. Without it, a list lacks the records of processes that died within about 100 ms of their claim, and these
// records stay unknown until their key is used again, or until they expire.
func (s *Store) Run(ctx context.Context) error {
	if s.index == nil {
		return errors.New("redisstore: Run keeps the index, and the store was made WithoutIndex: leave out one of them")
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

// pause waits. It returns an error if the context ends before.
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
		return all, errors.New("redisstore: Sweep fills the index, and the store was made WithoutIndex")
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

// checkOneServer returns an error if the client has more servers than the sweep would visit. A user without the right to INFO has to know.
func (s *Store) checkOneServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	info := redis.NewStringCmd(ctx, "INFO", "cluster")
	if err := process(ctx, s.client, info); err != nil && !isReply(err) {
		return failure("sweep", err)
	}

	return s.checkClient("the server", fields(info.Val()))
}

// sweepInTurn sweeps a server from where the last process has stopped, unless another process does, or has done so a short time ago.
func (s *Store) sweepInTurn(ctx context.Context, address string, sweep *serverSweep) (err error) {
	turn := s.newTurn(ctx, address, sweep.server)

	place, mine, err := turn.take(ctx)
	if err != nil || !mine {
		return err
	}

	defer func() {
		// The next process need not wait until the turn is over.
		if failed := turn.giveBack(context.WithoutCancel(ctx)); err == nil {
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
			return err // the process that has the turn by now goes on
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
	// failed are the errors of the sets of the index that cannot be written. The records of such a set are left to the next sweep.
	failed [indexes]error
}

// page looks at some keys of the server, and returns where to go on, and whether this was the last page. If the server is another one
// than that of the position, it looks at nothing, and the sweep begins again.
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

// scan reads some names, and where to go on. A user without the right to INFO does not learn the run of the server.
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

// escaped is a prefix as a pattern of SCAN.
func escaped(prefix string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(prefix)
}

// unsettled are those of some names whose records are not settled, going by the byte of the state.
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

// scores are the scores and the members of records that are not settled, by the number of their set.
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
			score = lookedAt(reply) // so that a list names it
		case err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE"): // something else has taken its name
			return missing, failure("sweep", err)
		case score == 0:
			continue
		}

		n := numberOf(e.member)
		missing[n] = append(missing[n], score, e.member)
	}

	return missing, nil
}

// enter adds records to the index that are not settled and that it lacks. A set that cannot be written does not keep the others from it.
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

// lookedAt is when the server has made a reply, or 1 if the reply is cut short.
func lookedAt(reply string) int64 {
	if len(reply) < replyHeader {
		return 1
	}

	return uint48At(reply, 1)
}
