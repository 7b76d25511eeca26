package interceptor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func depositing(err error) func(context.Context, *bankv1.DepositRequest) (*bankv1.DepositResponse, error) {
	return func(context.Context, *bankv1.DepositRequest) (*bankv1.DepositResponse, error) {
		return &bankv1.DepositResponse{}, err
	}
}

func transferring(err error) func(context.Context, *bankv1.TransferRequest) (*bankv1.TransferResponse, error) {
	return func(context.Context, *bankv1.TransferRequest) (*bankv1.TransferResponse, error) {
		return &bankv1.TransferResponse{}, err
	}
}

func TestServiceThatOnlyHasAnnotationsIsProtected(t *testing.T) {
	b := &branchBank{}
	w := startBank(t, setup{}, b)

	receipt, first := transfer(t.Context(), w.conn, transferOf("key", "acme"))
	first.mustHaveStatus(t, onlyonce.StatusExecuted)

	again, replay := transfer(t.Context(), w.conn, transferOf("key", "acme"))
	replay.mustHaveStatus(t, onlyonce.StatusReplayed)

	if receipt != "transfer 1" || again != receipt {
		t.Errorf("the receipts are %q and %q", receipt, again)
	}

	b.mustHaveRun(t, 1)
}

// The .proto's service option has a required key, a retention of two days, and ABORTED as not executed. The option of
// Deposit overrides much of it.
func TestMethodOptionGoesBeforeServiceOptionFieldByField(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &branchBank{}
		w := startBank(t, setup{}, b)

		_, a := transfer(t.Context(), w.conn, transferOf("", "acme"))
		a.mustBe(t, keyMissing)

		_, a = transfer(t.Context(), w.conn, transferOf("k", "acme"))
		a.mustHaveStatus(t, onlyonce.StatusExecuted)
		mustExpire(t, w, transferCall, interceptor.JoinScope("shared", "main", "acme"), "k", 48*time.Hour)

		receipt, a := deposit(t.Context(), w.conn)
		if receipt != "deposit 2" || len(a.trailer.Get(interceptor.StatusTrailer)) != 0 {
			t.Errorf("without a key: %q, %v with trailer %v", receipt, a.err, a.trailer)
		}

		_, a = deposit(withKey(t.Context(), "short"), w.conn)
		a.mustBe(t, keyInvalid)

		_, a = deposit(withKey(t.Context(), "long-enough"), w.conn)
		a.mustHaveStatus(t, onlyonce.StatusExecuted)
		mustExpire(t, w, depositCall, "shared", "long-enough", time.Hour)

		for code, said := range map[codes.Code]onlyonce.Status{
			codes.Internal: "executed", codes.Aborted: "released", codes.Unavailable: "unknown", codes.NotFound: "executed",
		} {
			b.deposit = depositing(status.Error(code, "no"))
			_, a = deposit(withKey(t.Context(), "long-enough-"+code.String()), w.conn)
			a.mustHaveStatus(t, said)
		}

		// Under AT_LEAST_ONCE, an ambiguous run is repeated. Under AT_MOST_ONCE, the default of the service, it is not.
		b.deposit = nil
		_, a = deposit(withKey(t.Context(), "long-enough-"+codes.Unavailable.String()), w.conn)
		a.mustHaveStatus(t, onlyonce.StatusExecuted)

		b.transfer = transferring(status.Error(codes.Internal, "no"))
		_, a = transfer(t.Context(), w.conn, transferOf("ambiguous", "acme"))
		a.mustHaveStatus(t, onlyonce.StatusUnknown)
		_, a = transfer(t.Context(), w.conn, transferOf("ambiguous", "acme"))
		a.mustBe(t, outcomeUnknown)
	})
}

func TestRunsAndWaitsAreBoundedByTheOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &branchBank{deposit: func(ctx context.Context, _ *bankv1.DepositRequest) (*bankv1.DepositResponse, error) {
			<-ctx.Done()

			return nil, ctx.Err()
		}}
		w := startBank(t, setup{}, b)
		began := time.Now()
		first := background(func() answer {
			_, a := deposit(withKey(t.Context(), "long-enough"), w.conn)

			return a
		})

		synctest.Wait()

		_, a := deposit(withKey(t.Context(), "long-enough"), w.conn) // max_wait is zero
		a.mustBe(t, inProgress)

		if waited := time.Since(began); waited > 0 {
			t.Errorf("the duplicate has waited %v", waited)
		}

		(<-first).mustHaveStatus(t, onlyonce.StatusUnknown)

		if ran := time.Since(began); ran != 40*time.Second {
			t.Errorf("the run took %v, want max_run", ran)
		}

		ctx, cancel := context.WithCancel(withKey(t.Context(), "not-detached")) // detached is false
		first = background(func() answer {
			_, a := deposit(ctx, w.conn)

			return a
		})

		synctest.Wait()
		cancel()
		<-first
		synctest.Wait()

		b.deposit = nil
		_, a = deposit(withKey(t.Context(), "not-detached"), w.conn)
		a.mustHaveStatus(t, onlyonce.StatusExecuted)
	})
}

func TestStoreFaultsAreHandledAsTheOptionsDeclare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startBank(t, setup{store: newFaultStore().down()}, &branchBank{})

		_, a := deposit(withKey(t.Context(), "long-enough"), w.conn)
		a.mustHaveStatus(t, onlyonce.StatusUnprotected)

		_, a = transfer(t.Context(), w.conn, transferOf("key", "acme"))
		a.mustBe(t, storeUnavailable)

		// max_outcome is 64.
		b := &branchBank{deposit: func(context.Context, *bankv1.DepositRequest) (*bankv1.DepositResponse, error) {
			return &bankv1.DepositResponse{Receipt: string(make([]byte, 65))}, nil
		}}
		w = startBank(t, setup{}, b)
		_, a = deposit(withKey(t.Context(), "long-enough"), w.conn)
		a.mustHaveStatus(t, onlyonce.StatusExecuted)
		_, a = deposit(withKey(t.Context(), "long-enough"), w.conn)
		a.mustBe(t, outcomeNotStored)
	})
}

func TestMethodsWhoseKeysAreIgnoredAreBypassed(t *testing.T) {
	b := &branchBank{}
	w := startBank(t, setup{}, b)

	for range 2 {
		for _, a := range []answer{
			second(invoke[bankv1.AuditResponse](withKey(t.Context(), "key"), w.conn, auditCall, &bankv1.AuditRequest{RequestId: "another"})),
			second(invoke[bankv1.BalanceResponse](withKey(t.Context(), "key"), w.conn, balanceCall, &bankv1.BalanceRequest{})),
		} {
			if a.err != nil || len(a.trailer.Get(interceptor.StatusTrailer)) != 0 {
				t.Errorf("the answer is %v with trailer %v", a.err, a.trailer)
			}
		}
	}

	b.mustHaveRun(t, 4)
}

func second[A, B any](_ A, b B) B { return b }

// Options of the .proto override the engine's policy, and the server's options override both.
func TestGoOptionsGoBeforeAnnotations(t *testing.T) {
	retention := func(hours int) interceptor.Policy {
		return interceptor.Policy{Policy: onlyonce.Policy{Retention: time.Duration(hours) * time.Hour}}
	}

	levels := []struct {
		name   string
		engine []onlyonce.Option
		server interceptor.ServerOption
		want   time.Duration
	}{
		{name: "the .proto", want: 48 * time.Hour},
		{name: "the engine", engine: []onlyonce.Option{onlyonce.WithPolicy(onlyonce.Policy{Retention: time.Hour})}, want: 48 * time.Hour},
		{name: "the server", server: interceptor.WithPolicy(retention(2)), want: 2 * time.Hour},
		{name: "the service", server: interceptor.WithServicePolicy(bankService, retention(3)), want: 3 * time.Hour},
		{name: "the method", server: interceptor.WithMethodPolicy(transferCall, retention(4)), want: 4 * time.Hour},
	}

	made := setup{}

	for _, level := range levels {
		made.engine = append(made.engine, level.engine...)
		if level.server != nil {
			made.server = append(made.server, level.server)
		}

		t.Run(level.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startBank(t, made, &branchBank{})

				_, a := transfer(t.Context(), w.conn, transferOf("key", "acme"))
				a.mustHaveStatus(t, onlyonce.StatusExecuted)
				mustExpire(t, w, transferCall, interceptor.JoinScope("shared", "main", "acme"), "key", level.want)
			})
		})
	}
}

func TestGoPolicyIsJudgedTogetherWithTheAnnotations(t *testing.T) {
	// Deposit is AT_LEAST_ONCE by its .proto, and Transfer is not.
	failOpen := interceptor.Policy{Policy: onlyonce.Policy{StoreDown: onlyonce.FailOpen}}

	_, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), interceptor.WithMethodPolicy(depositCall, failOpen))
	if err != nil {
		t.Errorf("NewServer: %v", err)
	}

	_, err = interceptor.NewServer(engine(t), interceptor.ScopeShared(), interceptor.WithMethodPolicy(transferCall, failOpen))
	mustName(t, err, "policy of method "+transferCall, "FailOpen")
}

func mustExpire(t *testing.T, w *world, method, scope, key string, want time.Duration) {
	t.Helper()

	rec, err := w.engine.Lookup(t.Context(), onlyonce.Identity{Scope: scope, Method: method, Key: key})
	if got := rec.ExpiresAt.Sub(rec.EndedAt); err != nil || got != want {
		t.Errorf("the retention is %v, want %v; %v", got, want, err)
	}
}

func TestF25_SameKeyOnAnotherAnnotatedMethodIsAnotherCall(t *testing.T) {
	b := &branchBank{}
	w := startBank(t, setup{}, b)

	receipt, a := transfer(t.Context(), w.conn, transferOf("the-same-key", "acme"))
	a.mustHaveStatus(t, onlyonce.StatusExecuted)

	other, a := deposit(withKey(t.Context(), "the-same-key"), w.conn)
	a.mustHaveStatus(t, onlyonce.StatusExecuted)

	if receipt != "transfer 1" || other != "deposit 2" {
		t.Errorf("the receipts are %q and %q", receipt, other)
	}
}

func TestF60_StricterGuaranteeHoldsWhileADeploymentChangesTheAnnotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		stricter := interceptor.WithMethodPolicy(depositCall, interceptor.Policy{Policy: onlyonce.Policy{
			Guarantee: onlyonce.AtMostOnce, Detachment: onlyonce.Detached, StoreDown: onlyonce.FailClosed, MaxRun: 25 * time.Second,
		}})

		// The servers of both builds lose the ends of their runs. One of them has the guarantee of the .proto, AT_LEAST_ONCE.
		lossy := func(t *testing.T, opts ...interceptor.ServerOption) *world {
			t.Helper()

			faults := newFaultStore()
			faults.Store = shared
			faults.complete = func(context.Context, store.Completion) (store.Result, error) { return store.Result{}, errLine }

			return startBank(t, setup{store: faults, server: opts}, &branchBank{})
		}

		for name, worlds := range map[string][2]*world{
			"stricter-first":  {lossy(t, stricter), lossy(t)},
			"stricter-second": {lossy(t), lossy(t, stricter)},
		} {
			_, a := deposit(withKey(t.Context(), name), worlds[0].conn)
			a.mustHaveStatus(t, onlyonce.StatusUnrecorded)

			time.Sleep(time.Minute)

			_, a = deposit(withKey(t.Context(), name), worlds[1].conn)
			a.mustBe(t, outcomeUnknown)
		}
	})
}
