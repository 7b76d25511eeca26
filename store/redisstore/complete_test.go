package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// knowing is a hook that lets a server know SET with IFEQ that does not, until it forgets.
type knowing struct{ forgets bool }

const swap = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]).ok end return false"

// instead returns the command to send in place of cmd, or cmd itself.
func (k *knowing) instead(ctx context.Context, cmd redis.Cmder) redis.Cmder {
	args := cmd.Args()
	if cmd.Name() != "set" || len(args) < 7 || args[3] != "IFEQ" {
		return cmd
	}

	if k.forgets {
		return redis.NewStringCmd(ctx, "SET", args[1], args[2], "NONSENSE")
	}

	return redis.NewStringCmd(ctx, "EVAL", swap, "1", args[1], args[4], args[2], args[6])
}

// answer gives a command the answer to another one.
func answerAs(cmd, sent redis.Cmder) {
	if cmd == sent {
		return
	}

	if err := sent.Err(); err != nil {
		cmd.SetErr(err)

		return
	}

	cmd.(*redis.StringCmd).SetVal(sent.(*redis.StringCmd).Val()) //nolint:errcheck // both are
}

func (*knowing) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (k *knowing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		sent := k.instead(ctx, cmd)
		err := next(ctx, sent)
		answerAs(cmd, sent)

		return err
	}
}

func (k *knowing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		sent := make([]redis.Cmder, len(cmds))
		for i, cmd := range cmds {
			sent[i] = k.instead(ctx, cmd)
		}

		err := next(ctx, sent)

		for i, cmd := range cmds {
			answerAs(cmd, sent[i])
		}

		return err
	}
}

// knowingStore is a store on a server that knows IFEQ, or pretends to.
func knowingStore(t *testing.T, addr string) (*redisstore.Store, *knowing) {
	t.Helper()

	client := redis.NewClient(patient(redis.Options{Addr: addr, ContextTimeoutEnabled: true}))
	hook := new(knowing)
	client.AddHook(hook)

	return with(t, client, unindexed), hook
}

func TestContractOnAServerThatKnowsIFEQ(t *testing.T) {
	t.Parallel()

	s, _ := knowingStore(t, redistest.Standalone(t).Addr())
	contract(t, s)
}

// completeWith completes a run with a receipt.
func completeWith(t *testing.T, s *redisstore.Store, claim store.Claim, receipt any) (store.Result, error) {
	t.Helper()

	op := completion(claim, "paid")
	op.Receipt = receipt

	return s.Complete(t.Context(), op)
}

func TestACompletionIsOneCommandThatComparesAndSetsWhereTheServerKnowsIt(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	direct := redis.NewClient(patient(redis.Options{Addr: proxy.Addr()}))

	t.Cleanup(func() { _ = direct.Close() })

	want := "evalsha"
	if knowsIFEQ(t, direct) {
		want = "set pexpiretime"
	}

	s := through(t, proxy)
	warm(t, s)

	claim := newClaim()
	receipt := start(t, s, claim).Receipt

	proxy.Reset()

	res, err := completeWith(t, s, claim, receipt)
	must(t, res, err)

	if got := names(proxy.Plan); got != want || proxy.RoundTrips() != 1 {
		t.Errorf("a completion is %q in %d round trips, want %q in 1", got, proxy.RoundTrips(), want)
	}
}

func TestAServerThatDoesNotKnowIFEQAnyMoreIsCopedWithUntilCheckFindsItAgain(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s, hook := knowingStore(t, proxy.Addr())
	warm(t, s)

	for _, tt := range []struct {
		forgets, checks bool
		trips           int
	}{
		{false, false, 1},
		{true, false, 2}, // the script decides
		{true, false, 2}, // the server does not have the other script yet
		{true, false, 1},
		{false, false, 1},
		{false, true, 1},
	} {
		hook.forgets = tt.forgets

		if tt.checks {
			if _, err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		claim := newClaim()
		receipt := start(t, s, claim).Receipt

		proxy.Reset()

		res, err := completeWith(t, s, claim, receipt)
		must(t, res, err)

		if n := proxy.RoundTrips(); n != tt.trips {
			t.Errorf("%+v: a completion took %d round trips", tt, n)
		}

		if used := strings.HasPrefix(names(proxy.Plan), "eval pexpiretime"); tt.checks && !used {
			t.Errorf("%+v: the command is not used: %s", tt, names(proxy.Plan))
		}
	}
}

// All times of a record come from the server, however long a message takes.
func TestACompletedRecordHasTheTimesOfTheServer(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	knowing, _ := knowingStore(t, server.Addr())

	for way, s := range map[string]*redisstore.Store{
		"by script": open(t, server.URL()), "by IFEQ": knowing,
	} {
		for _, renews := range []bool{false, true} {
			claim := newClaim()
			begun := start(t, s, claim)
			receipt := begun.Receipt

			if renews {
				op := renewal(claim)
				op.Receipt = receipt
				res, err := s.Renew(t.Context(), op)
				receipt = must(t, res, err).Receipt
			}

			done, err := completeWith(t, s, claim, receipt)
			must(t, done, err)

			kept := lookup(t, s, claim.Key)
			rec := kept.Record

			if !rec.FirstStart.Equal(begun.Record.FirstStart) || !rec.LastStart.Equal(begun.Record.LastStart) {
				t.Errorf("%s: it started at %v, and its record has %v", way, begun.Record.FirstStart, rec.FirstStart)
			}

			expires := server.Client().Do(t.Context(), "PEXPIRETIME", stored(claim.Key)).Val()
			if rec.ExpiresAt.UnixMilli() != expires || !rec.EndedAt.Equal(rec.ExpiresAt.Add(-claim.Retention)) ||
				rec.Retention != claim.Retention || rec.EndedAt.Before(rec.FirstStart) || rec.EndedAt.After(kept.Now) {
				t.Errorf("%s: it ended at %v and expires at %v, the server says %v", way, rec.EndedAt, rec.ExpiresAt, expires)
			}

			if !done.Record.EndedAt.Equal(rec.EndedAt) || !done.Record.ExpiresAt.Equal(rec.ExpiresAt) || !done.Now.Equal(rec.EndedAt) ||
				string(done.Record.Outcome) != "paid" || done.Record.Method != rec.Method || done.Record.Fence != rec.Fence {
				t.Errorf("%s: the answer is %+v, kept is %+v", way, done.Record, rec)
			}
		}
	}
}

func TestF09ACompletionFindsARecordThatARenewalHasChangedWhoseReplyWasLost(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	knowing, _ := knowingStore(t, server.Addr())

	for way, s := range map[string]*redisstore.Store{
		"by script": open(t, server.URL()), "by IFEQ": knowing,
	} {
		claim := newClaim()
		receipt := start(t, s, claim).Receipt

		res, err := s.Renew(t.Context(), renewal(claim)) // without its receipt
		must(t, res, err)

		for range 2 {
			res, err := completeWith(t, s, claim, receipt)
			if must(t, res, err).Record.State != store.Completed {
				t.Errorf("%s: the record is %v", way, res.Record.State)
			}
		}

		mustBe(t, s, claim.Key, store.Completed)
	}
}

func TestTheExpiryOfARunningRecordThatWasTakenAwayIsBackWithItsCompletion(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	knowing, _ := knowingStore(t, server.Addr())

	for way, s := range map[string]*redisstore.Store{
		"by script": open(t, server.URL()), "by IFEQ": knowing,
	} {
		claim := newClaim()
		begun := start(t, s, claim)

		if err := server.Client().Persist(t.Context(), stored(claim.Key)).Err(); err != nil {
			t.Fatal(err)
		}

		res, err := completeWith(t, s, claim, begun.Receipt)
		must(t, res, err)

		again, err := s.Claim(t.Context(), claimOn(claim.Key))
		if err != nil || string(again.Record.Outcome) != "paid" || !again.Record.ExpiresAt.Equal(again.Record.EndedAt.Add(claim.Retention)) ||
			!again.Record.FirstStart.Equal(begun.Record.FirstStart) {
			t.Errorf("%s: a duplicate gets %+v, %v", way, again, err)
		}
	}
}

func TestACompletedRecordWhoseExpiryWasTakenAwayIsReplayedAndItsEndIsNotKnown(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	claim := newClaim()
	begun := start(t, s, claim)

	res, err := completeWith(t, s, claim, begun.Receipt)
	must(t, res, err)

	if err := server.Client().Persist(t.Context(), stored(claim.Key)).Err(); err != nil {
		t.Fatal(err)
	}

	look, err := s.Lookup(t.Context(), claim.Key)
	claimed, err2 := s.Claim(t.Context(), claimOn(claim.Key))

	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}

	for way, res := range map[string]store.Result{"a lookup": look, "a duplicate": claimed} {
		rec := res.Record
		if res.Applied || rec.State != store.Completed || string(rec.Outcome) != "paid" || rec.Retention != time.Hour ||
			!rec.FirstStart.Equal(begun.Record.FirstStart) || !rec.EndedAt.IsZero() || !rec.ExpiresAt.IsZero() {
			t.Errorf("%s gets %+v", way, res)
		}
	}

	// The copy of its completion is still known.
	res, err = completeWith(t, s, claim, begun.Receipt)
	must(t, res, err)
}

// The package documentation warns of this: the store derives times from the expiry.
func TestAnExpiryThatIsChangedByHandMovesTheTimesThatAreDerivedFromIt(t *testing.T) {
	t.Parallel()

	const earlier = 10 * time.Minute

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	claim := newClaim()
	receipt := start(t, s, claim).Receipt

	moved := func(change time.Duration) (before, after store.Record) {
		t.Helper()

		before = lookup(t, s, claim.Key).Record
		at := before.ExpiresAt.Add(change)

		if isSet, err := server.Client().PExpireAt(t.Context(), stored(claim.Key), at).Result(); err != nil || !isSet {
			t.Fatal(isSet, err)
		}

		return before, lookup(t, s, claim.Key).Record
	}

	before, after := moved(-earlier)
	if !after.FirstStart.Equal(before.FirstStart.Add(-earlier)) || !after.LeaseUntil.Equal(before.LeaseUntil.Add(-earlier)) ||
		!after.OwnerAliveUntil.Equal(before.OwnerAliveUntil.Add(-earlier)) {
		t.Errorf("a running record was %+v, and is %+v", before, after)
	}

	res, err := completeWith(t, s, claim, receipt)
	must(t, res, err)

	before, after = moved(-earlier)
	if !after.EndedAt.Equal(before.EndedAt.Add(-earlier)) || after.Retention != before.Retention ||
		!after.FirstStart.Equal(before.FirstStart) {
		t.Errorf("a completed record was %+v, and is %+v", before, after)
	}

	again, err := s.Claim(t.Context(), claimOn(claim.Key))
	if err != nil || again.Applied || string(again.Record.Outcome) != "paid" {
		t.Errorf("a duplicate gets %+v, %v", again, err)
	}
}
