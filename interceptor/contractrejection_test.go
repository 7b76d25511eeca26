package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The rows of the contract's table of rejections, as seen by a client that does not use this package.
var (
	keyMissing       = rejection{reason: "IDEMPOTENCY_KEY_MISSING", code: codes.InvalidArgument, status: "rejected", badRequest: true}
	notSupported     = rejection{reason: "IDEMPOTENCY_NOT_SUPPORTED", code: codes.Unimplemented, status: "rejected"}
	keyInvalid       = rejection{reason: "IDEMPOTENCY_KEY_INVALID", code: codes.InvalidArgument, status: "rejected", badRequest: true}
	keyReused        = rejection{reason: "IDEMPOTENCY_KEY_REUSED", code: codes.FailedPrecondition, status: "rejected"}
	keyExpired       = rejection{reason: "IDEMPOTENCY_KEY_EXPIRED", code: codes.FailedPrecondition, status: "rejected"}
	inProgress       = rejection{reason: "IDEMPOTENCY_IN_PROGRESS", code: codes.Unavailable, status: "rejected", delay: time.Second / 2}
	leaseLost        = rejection{reason: "IDEMPOTENCY_LEASE_LOST", code: codes.Unavailable, status: "rejected", delay: time.Second / 2}
	outcomeUnknown   = rejection{reason: "IDEMPOTENCY_OUTCOME_UNKNOWN", code: codes.Unknown, status: "unknown", delay: time.Minute}
	outcomeNotStored = rejection{reason: "IDEMPOTENCY_OUTCOME_NOT_STORED", code: codes.Unknown, status: "rejected"}
	storeUnavailable = rejection{reason: "IDEMPOTENCY_STORE_UNAVAILABLE", code: codes.Unavailable, status: "rejected", delay: time.Second}
	storeFull        = rejection{reason: "IDEMPOTENCY_STORE_FULL", code: codes.ResourceExhausted, status: "rejected", delay: 2 * time.Second}
	scopeMissing     = rejection{reason: "IDEMPOTENCY_SCOPE_MISSING", code: codes.Unauthenticated, status: "rejected"}
	recordUnreadable = rejection{reason: "IDEMPOTENCY_RECORD_UNREADABLE", code: codes.DataLoss, status: "rejected"}
	recordNewer      = rejection{reason: "IDEMPOTENCY_RECORD_NEWER", code: codes.Unavailable, status: "rejected", delay: 2 * time.Second}
)

func noScope() interceptor.Scope {
	return interceptor.ScopeFunc(func(context.Context) (string, error) { return "", errors.New("token of Ann is stale") })
}

// timeOrdered is a server that requires time-ordered keys.
func timeOrdered() setup {
	return setup{server: keyPolicy(interceptor.Policy{KeyRules: &onlyonce.KeyRules{TimeOrdered: true}})}
}

// madeIn is a time-ordered key that is made after the duration.
func madeIn(d time.Duration) string {
	digits := fmt.Sprintf("%012x", time.Now().Add(d).UnixMilli())

	return digits[:8] + "-" + digits[8:] + "-7000-8000-000000000000"
}

// rejectionRows are the reasons of the contract, each by everything that brings it about.
func rejectionRows() []row {
	cases := []struct {
		name  string
		want  rejection
		runs  int64
		setup func() setup // on the bubble's clock
		cause func(s stage) answer
	}{
		{
			name: "the method requires a key", want: keyMissing,
			setup: func() setup { return setup{server: keyPolicy(interceptor.Policy{Key: interceptor.KeyRequired})} },
			cause: func(s stage) answer { return s.call(s.Context(), payment()) },
		},
		{
			name: "a stream with a key", want: notSupported,
			cause: func(s stage) answer {
				return callStream(withKey(s.Context(), "key"), s.conn, pb.TestService_FullDuplexCall_FullMethodName, &pb.Empty{}, &pb.Empty{})
			},
		},
		{
			name: "a stream of a method that requires a key", want: notSupported,
			setup: func() setup { return setup{server: keyPolicy(interceptor.Policy{Key: interceptor.KeyRequired})} },
			cause: func(s stage) answer {
				return callStream(s.Context(), s.conn, pb.TestService_FullDuplexCall_FullMethodName, &pb.Empty{}, &pb.Empty{})
			},
		},
		{
			name: "messages that cannot be recorded", want: notSupported,
			setup: func() setup { return setup{register: func(server *grpc.Server) { registerHidden(server, new(int)) }} },
			cause: func(s stage) answer { return callOn(withKey(s.Context(), "key"), s.conn, hiddenCall, payment()) },
		},
		{
			name: "a malformed key", want: keyInvalid,
			cause: func(s stage) answer { return s.pay(s.T, "two words") },
		},
		{
			name: "an empty key", want: keyInvalid,
			cause: func(s stage) answer { return s.pay(s.T, "") },
		},
		{
			name: "several keys", want: keyInvalid,
			cause: func(s stage) answer { return s.call(withKey(s.Context(), "key", "key"), payment()) },
		},
		{
			name: "metadata and field differ", want: keyInvalid,
			cause: func(s stage) answer {
				w := startBank(s.T, setup{}, &branchBank{})

				return second(transfer(withKey(s.Context(), "another"), w.conn, transferOf("key", "acme")))
			},
		},
		{
			name: "the request field is malformed", want: keyInvalid,
			cause: func(s stage) answer {
				w := startBank(s.T, setup{}, &branchBank{})

				return second(transfer(s.Context(), w.conn, transferOf("two words", "acme")))
			},
		},
		{
			name: "the method's .proto requires a key", want: keyMissing,
			cause: func(s stage) answer {
				w := startBank(s.T, setup{}, &branchBank{})

				return second(transfer(s.Context(), w.conn, transferOf("", "acme")))
			},
		},
		{
			name: "the same key with another request", want: keyReused, runs: 1,
			cause: func(s stage) answer {
				s.pay(s.T, "key").mustHaveStatus(s.T, "executed")

				return s.call(withKey(s.Context(), "key"), otherPayment())
			},
		},
		{
			name: "a time-ordered key without a record that is older than the retention less 10 minutes", want: keyExpired, setup: timeOrdered,
			cause: func(s stage) answer {
				made := onlyonce.NewKey()

				time.Sleep(24*time.Hour - 10*time.Minute + time.Millisecond)

				return s.pay(s.T, made)
			},
		},
		{
			name: "a time-ordered key whose record is gone", want: keyExpired, runs: 1, setup: timeOrdered,
			cause: func(s stage) answer {
				made := onlyonce.NewKey()
				s.pay(s.T, made).mustHaveStatus(s.T, "executed")
				time.Sleep(24*time.Hour - time.Millisecond)
				s.pay(s.T, made).mustHaveStatus(s.T, "replayed")
				time.Sleep(time.Millisecond)

				return s.pay(s.T, made)
			},
		},
		{
			name: "a time-ordered key more than 10 minutes in the future", want: keyInvalid, setup: timeOrdered,
			cause: func(s stage) answer {
				s.pay(s.T, madeIn(10*time.Minute)).mustHaveStatus(s.T, "executed")
				s.runs.Add(-1)

				return s.pay(s.T, madeIn(10*time.Minute+time.Millisecond))
			},
		},
		{
			name: "a key that is not time-ordered where all are", want: keyInvalid, setup: timeOrdered,
			cause: func(s stage) answer { return s.pay(s.T, uuidLower) },
		},
		{
			name: "a duplicate of a running call that may not wait", want: inProgress, runs: 1,
			setup: func() setup { return setup{server: policy(onlyonce.Policy{MaxWait: onlyonce.NoWait})} },
			cause: func(s stage) answer { return duplicateWhileRunning(s.T, s.world, s.world) },
		},
		{
			name: "a duplicate of a running call that has waited", want: inProgress, runs: 1,
			setup: func() setup { return setup{server: policy(onlyonce.Policy{MaxWait: 3 * time.Second})} },
			cause: func(s stage) answer { return duplicateWhileRunning(s.T, s.world, s.world) },
		},
		{name: "this run was overtaken and the other has no outcome yet", want: leaseLost, cause: overtaken},
		{
			name: "an earlier run was ambiguous", want: outcomeUnknown, runs: 1,
			cause: func(s stage) answer {
				s.handle = failing(status.Error(codes.Internal, "oops"))
				s.pay(s.T, "key").mustFail(s.T, codes.Internal, "oops")

				return s.pay(s.T, "key")
			},
		},
		{
			name: "the answer was too large to keep", want: outcomeNotStored, runs: 1,
			setup: func() setup { return setup{server: policy(onlyonce.Policy{MaxOutcome: 5})} },
			cause: func(s stage) answer {
				s.pay(s.T, "key").mustHaveStatus(s.T, "executed")

				return s.pay(s.T, "key")
			},
		},
		{
			name: "the store cannot be reached", want: storeUnavailable,
			setup: func() setup { return setup{store: newFaultStore().down()} },
			cause: func(s stage) answer { return s.pay(s.T, "key") },
		},
		{
			name: "the server is shutting down", want: storeUnavailable,
			cause: func(s stage) answer {
				if err := s.engine.Drain(s.Context()); err != nil {
					s.Errorf("Drain: %v", err)
				}

				return s.pay(s.T, "key")
			},
		},
		{
			name: "the store is full", want: storeFull, runs: 1,
			setup: func() setup { return setup{store: memstore.New(memstore.WithMaxRecords(1))} },
			cause: func(s stage) answer {
				s.pay(s.T, "key").mustHaveStatus(s.T, "executed")

				return s.pay(s.T, "another")
			},
		},
		{
			name: "too many runs go on without their callers", want: storeFull, runs: 1,
			setup: func() setup {
				return setup{engine: []onlyonce.Option{onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 1})}}
			},
			cause: beyondTheDetached,
		},
		{
			name: "the scope found no caller", want: scopeMissing,
			setup: func() setup { return setup{scope: noScope} },
			cause: func(s stage) answer { return s.pay(s.T, "key") },
		},
		{
			name: "the field that is part of the scope is empty", want: scopeMissing,
			cause: func(s stage) answer {
				w := startBank(s.T, setup{}, &branchBank{})

				return second(transfer(s.Context(), w.conn, transferOf("key", "")))
			},
		},
		{
			name: "the stored record is damaged", want: recordUnreadable, runs: 1,
			setup: func() setup {
				return setup{store: newFaultStore().damaging(func(data []byte) []byte { return data[:len(data)/2] })}
			},
			cause: func(s stage) answer {
				s.pay(s.T, "key").mustHaveStatus(s.T, "executed")

				return s.pay(s.T, "key")
			},
		},
		{
			name: "the record was written by a newer build", want: recordNewer,
			setup: func() setup { return setup{store: newFaultStore().refusing(store.ErrNewer)} },
			cause: func(s stage) answer { return s.pay(s.T, "key") },
		},
	}

	rows := make([]row, 0, len(cases))

	for _, c := range cases {
		rows = append(rows, row{says: string(c.want.reason) + ": " + c.name, setup: c.setup, check: func(s stage) {
			a := c.cause(s)
			a.mustBe(s.T, c.want)
			s.mustHaveRun(s.T, c.runs)

			for _, secret := range []string{"hunter2", "Ann"} {
				if strings.Contains(status.Convert(a.err).String(), secret) {
					s.Errorf("the answer tells the caller what only the operator may know: %v", a.err)
				}
			}
		}})
	}

	return rows
}

// overtaken is the answer to a run whose lease has ended while another took its key over.
func overtaken(s stage) answer {
	shared := memstore.New()
	cutOff := &faultStore{Store: shared}
	cutOff.renew = func(context.Context, store.Renewal) (store.Result, error) { return store.Result{}, errLine }

	atLeastOnce := policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
	here := start(s.T, setup{store: cutOff, server: atLeastOnce}, after(30*time.Second, answering("overtaken")))
	there := start(s.T, setup{store: shared, server: atLeastOnce}, after(24*time.Second, answering("winner")))

	first := here.payInBackground(s.T)

	time.Sleep(16 * time.Second) // the lease has ended

	winner := there.payInBackground(s.T)
	lost := <-first

	(<-winner).mustAnswer(s.T, "winner")
	here.pay(s.T, "key").mustAnswer(s.T, "winner")

	return lost
}

// beyondTheDetached is the answer to a call while as many runs as may go on without their callers.
func beyondTheDetached(s stage) answer {
	s.handle = after(20*time.Second, answering("late"))

	ctx, cancel := context.WithCancel(withKey(s.Context(), "left-alone"))
	first := background(func() answer { return s.call(ctx, payment()) })

	synctest.Wait()
	cancel()
	<-first
	synctest.Wait()

	return s.pay(s.T, "key")
}
