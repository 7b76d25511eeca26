package wires_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// attemptTimeout is the time of an attempt that gets no answer.
const attemptTimeout = time.Second

func silentSlog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// clientRow is an answer, and the reaction of clients.
type clientRow struct {
	says    string
	setup   setup
	unkeyed bool // the client protects nothing
	bounded bool // each attempt has a time of its own
	nowhere bool // no server listens
	waits   bool // the test waits as long as the client does
	cause   func(s *clientStage) reaction

	again   bool
	after   time.Duration // the delay that the server asks for, before jitter; 0: the backoff of the client
	verdict onlyonce.Verdict
}

// clientStage is a server, and a client of the kit.
type clientStage struct {
	*testing.T
	*server

	send sender
	row  *clientRow
	long bool // the caller leaves when the client begins to wait, which saves the time of the test
}

// nobodyListens is an address of this machine on which no test listens.
const nobodyListens = "127.0.0.1:1"

func (w *clientWire) stage(t *testing.T, r *clientRow) *clientStage {
	t.Helper()

	srv := newServer(t, r.setup)
	address := w.serve(t, srv)

	if r.nowhere {
		address = nobodyListens
	}

	settings := clientSettings{
		policy:  retry.Policy{MaxAttempts: 2, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond},
		unkeyed: r.unkeyed, observers: observers{mu: new(sync.Mutex)},
	}
	if r.bounded {
		settings.policy.AttemptTimeout = attemptTimeout
	}

	return &clientStage{T: t, server: srv, send: w.dial(t, address, settings), row: r, long: r.after > 0 && !r.waits}
}

// pay sends a payment with a key, or without one if the key is empty.
func (s *clientStage) pay(key string) reaction { return s.call(s.Context(), key, "4711") }

func (s *clientStage) call(ctx context.Context, key, text string) reaction {
	ctx, leave := context.WithCancel(ctx)
	defer leave()

	seen := &watch{each: func(a retry.Attempt) {
		if s.long && a.Stop == retry.StopNone {
			leave()
		}
	}}

	ctx = context.WithValue(ctx, watchKey{}, seen)
	if key != "" {
		ctx = onlyonce.ContextWithKey(ctx, key)
	}

	began := time.Now()
	ok, verdict := s.send(ctx, text)

	return reaction{ok: ok, verdict: verdict, began: began, tries: seen.tries}
}

// mustPay sends a payment that must succeed. Its answer confirms that the server protects the method. A machine that stands still may use
// up the time of the attempt. Then the payment is sent again.
func (s *clientStage) mustPay(key string) {
	s.Helper()

	r := s.pay(key)
	for n := 0; n < 10 && !r.ok && len(r.tries) > 0 && r.tries[0].TimedOut; n++ {
		r = s.pay(key)
	}

	if !r.ok {
		s.Errorf("the payment failed: %+v", r)
	}
}

// paying is a row with one payment with the key "key".
func paying(s *clientStage) reaction { return s.pay("key") }

// paidBefore is a row with a payment after another one with the same key.
func paidBefore(s *clientStage) reaction {
	s.pay("key")

	return s.pay("key")
}

// anotherRequest is a row with another request of the same key.
func anotherRequest(s *clientStage) reaction {
	s.pay("key")

	return s.call(s.Context(), "key", "another")
}

// fronted is a row with a front of the server, after a call that confirms the method, or without it.
func fronted(mode frontMode, confirmed bool) func(*clientStage) reaction {
	return func(s *clientStage) reaction {
		if confirmed {
			s.mustPay("before")
		}

		s.front.becomes(mode)

		return s.pay("key")
	}
}

func clientRows() []clientRow {
	return append(answeredRows(), rejectedRows()...)
}

func answeredRows() []clientRow {
	released := result{code: codes.Unavailable, message: "no", marked: true, class: onlyonce.ClassNotExecuted}
	open := onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}

	return []clientRow{
		{says: "`executed`: a response", cause: paying, verdict: onlyonce.VerdictFinal},
		{says: "`replayed`: a response", cause: paidBefore, verdict: onlyonce.VerdictFinal},
		{
			says: "`executed`: a definite error", setup: setup{work: failing(codes.NotFound)}, cause: paying,
			verdict: onlyonce.VerdictFinal,
		},
		{
			says: "`replayed`: a definite error", setup: setup{work: failing(codes.NotFound)}, cause: paidBefore,
			verdict: onlyonce.VerdictFinal,
		},
		{
			says: "`released`: UNAVAILABLE or 503", setup: setup{work: giving(released)}, cause: paying, again: true,
			verdict: onlyonce.VerdictNotExecuted,
		},
		{
			says: "`unknown`: an ambiguous error, INTERNAL or 500", setup: setup{work: failing(codes.Internal)}, cause: paying,
			verdict: onlyonce.VerdictUnknown,
		},
		{
			says: "`unknown`: UNAVAILABLE or 503", setup: setup{work: failing(codes.Unavailable)}, cause: paying, again: true,
			verdict: onlyonce.VerdictUnknown,
		},
		{
			says: "`unrecorded`: a response", cause: paying, verdict: onlyonce.VerdictFinal,
			setup: setup{store: readOnly(), limits: onlyonce.Limits{SettleTimeout: 10 * time.Millisecond}},
		},
		{says: "`unprotected`: a response", setup: setup{store: down(), policy: open}, cause: paying, verdict: onlyonce.VerdictFinal},
		{says: "no status: a response of a server without the kit", setup: setup{plain: true}, cause: paying, verdict: onlyonce.VerdictFinal},
		{
			says: "no status: an error of a server without the kit", setup: setup{plain: true, work: failing(codes.Internal)}, cause: paying,
			verdict: onlyonce.VerdictUnknown,
		},
		{
			says: "no status: UNAVAILABLE or 503 of a proxy, where the method is confirmed", cause: fronted(frontRefuses, true), again: true,
			verdict: onlyonce.VerdictUnknown,
		},
		{
			says: "no status: UNAVAILABLE or 503 of a proxy, where it is not", cause: fronted(frontRefuses, false),
			verdict: onlyonce.VerdictUnknown,
		},
		{
			says: "no answer: the connection breaks, where the method is confirmed", cause: fronted(frontLoses, true), again: true,
			verdict: onlyonce.VerdictUnknown,
		},
		{says: "no answer: the connection breaks, where it is not", cause: fronted(frontLoses, false), verdict: onlyonce.VerdictUnknown},
		{
			says: "no answer: the time of the attempt ends, where the method is confirmed", cause: hanging, bounded: true, again: true,
			verdict: onlyonce.VerdictUnknown,
		},
		{says: "no answer: the caller leaves", cause: leaving, verdict: onlyonce.VerdictUnknown},
		{says: "nothing was sent: no server listens", cause: paying, nowhere: true, again: true, verdict: onlyonce.VerdictNotExecuted},
	}
}

func rejectedRows() []clientRow {
	one := func(says string, want rejection, verdict onlyonce.Verdict, made setup, cause func(*clientStage) reaction) clientRow {
		return clientRow{
			says: "`" + string(want.reason) + "`" + says, setup: made, cause: cause, verdict: verdict,
			again: want.delay > 0 && want.reason != onlyonce.ReasonOutcomeUnknown, after: want.delay,
		}
	}

	missing := one(": the client protects nothing, and the call has no key", keyMissing, onlyonce.VerdictUnknown, setup{required: true},
		func(s *clientStage) reaction { return s.pay("") })
	missing.unkeyed = true

	running := one("", inProgress, onlyonce.VerdictUnknown, setup{policy: onlyonce.Policy{MaxWait: onlyonce.NoWait}}, duringAnother)
	running.waits = true

	overtaken := onlyonce.Policy{MaxWait: onlyonce.NoWait, Guarantee: onlyonce.AtLeastOnce}
	unknown, final := onlyonce.VerdictUnknown, onlyonce.VerdictFinal

	return []clientRow{
		missing,
		one("", keyInvalid, final, timeOrdered(), func(s *clientStage) reaction { return s.pay(madeIn(time.Hour)) }),
		one(": the first is completed", keyReused, unknown, setup{}, anotherRequest),
		one(": the first is unknown", keyReused, unknown, setup{work: failing(codes.Internal)}, anotherRequest),
		one("", keyExpired, unknown, timeOrdered(), func(s *clientStage) reaction { return s.pay(madeIn(-24 * time.Hour)) }),
		running,
		one("", leaseLost, unknown, setup{store: overtaking(), policy: overtaken}, paying),
		one("", outcomeUnknown, unknown, setup{work: failing(codes.Internal)}, paidBefore),
		one("", outcomeNotStored, unknown, setup{policy: onlyonce.Policy{MaxOutcome: 5}}, paidBefore),
		one("", storeUnavailable, unknown, setup{store: down()}, paying),
		one("", storeFull, unknown, setup{store: memstore.New(memstore.WithMaxRecords(1))}, func(s *clientStage) reaction {
			s.mustPay("before")

			return s.pay("key")
		}),
		one("", scopeMissing, unknown, setup{noScope: true}, paying),
		one("", recordUnreadable, unknown, setup{store: damaging()}, paidBefore),
		one("", recordNewer, unknown, setup{store: refusing(store.ErrNewer)}, paying),
	}
}

// duringAnother sends a payment while the first one with its key runs.
func duringAnother(s *clientStage) reaction {
	began, finish := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})

	s.answers(func(context.Context, request) result {
		close(began)
		<-finish

		return result{text: "paid"}
	})

	go func() {
		defer close(ended)

		s.pay("key")
	}()

	<-began

	got := s.pay("key")

	close(finish)
	<-ended

	return got
}

// hanging sends a payment whose handler does not end before the client has given up.
func hanging(s *clientStage) reaction {
	finish := make(chan struct{})

	s.mustPay("before")
	s.answers(func(context.Context, request) result {
		<-finish

		return result{}
	})

	defer close(finish)

	return s.pay("key")
}

// leaving sends a payment and leaves while it runs.
func leaving(s *clientStage) reaction {
	finish := make(chan struct{})

	ctx, leave := context.WithCancel(s.Context())

	s.answers(func(context.Context, request) result {
		leave()
		<-finish

		return result{}
	})

	defer close(finish)

	return s.call(ctx, "key", "4711")
}

// check compares a reaction with the contract, and returns the cell of the table.
func (r *clientRow) check(s *clientStage, w *clientWire, got reaction) string {
	s.Helper()

	if got.verdict != r.verdict {
		s.Errorf("the verdict is %q, want %q: %+v", got.verdict, r.verdict, got)
	}

	if !r.again {
		if len(got.tries) > 1 || len(got.tries) == 1 && got.tries[0].Stop == retry.StopNone {
			s.Errorf("the client tries again: %+v", got)
		}

		return "no; " + got.verdict.String()
	}

	if len(got.tries) == 0 || got.tries[0].Stop != retry.StopNone {
		s.Errorf("the client does not try again: %+v", got)

		return ""
	}

	r.checkDelay(s, w, got)

	if r.after == 0 {
		return "backoff; " + got.verdict.String()
	}

	least, most := r.window(w)
	if least == most {
		return fmt.Sprintf("%v s; %v", least.Seconds(), got.verdict)
	}

	return fmt.Sprintf("%v to %v s; %v", least.Seconds(), most.Seconds(), got.verdict)
}

// window is the shortest and the longest delay that the server may ask for: half more or less, and whole seconds on HTTP.
func (r *clientRow) window(w *clientWire) (least, most time.Duration) {
	least, most = r.after/2, r.after+r.after/2

	if w.form == formHTTP || w.form == formGateway {
		return wholeSeconds(least), wholeSeconds(most)
	}

	return least, most
}

func wholeSeconds(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// checkDelay checks how long the client has waited before its second attempt.
func (r *clientRow) checkDelay(s *clientStage, w *clientWire, got reaction) {
	s.Helper()

	first := got.tries[0]

	if r.after == 0 && first.Delay > time.Millisecond {
		s.Errorf("the client waits %v, and its backoff is at most a millisecond", first.Delay)
	}

	if least, most := r.window(w); r.after > 0 && (first.Delay < least || first.Delay > most) {
		s.Errorf("the client waits %v, want %v to %v", first.Delay, least, most)
	}

	if s.long || r.nowhere || r.bounded {
		return
	}

	s.front.mu.Lock()
	defer s.front.mu.Unlock()

	if len(s.front.retries) != 1 {
		s.Errorf("%d retries have arrived, want 1: %+v", len(s.front.retries), got)
	} else if gap := s.front.retries[0].Sub(got.began); gap < first.Elapsed+first.Delay {
		s.Errorf("the retry arrived %v after the call began, want at least %v and then %v", gap, first.Elapsed, first.Delay)
	}
}

// reactionsOfClients makes every call of the table on every wire of the kit's clients, over real connections.
func reactionsOfClients(t *testing.T) map[string]string {
	t.Helper()

	var mu sync.Mutex

	found := make(map[string]string)
	wires := clientWires()

	for i := range wires {
		w, rows := &wires[i], clientRows() // each wire has stores of its own

		t.Run(w.name, func(t *testing.T) {
			t.Parallel()

			for j := range rows {
				r := &rows[j]

				t.Run(r.says, func(t *testing.T) {
					s := w.stage(t, r)
					cell := r.check(s, w, r.cause(s))

					mu.Lock()
					defer mu.Unlock()

					found[w.name+r.says] = cell
				})
			}
		})
	}

	return found
}
