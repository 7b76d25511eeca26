package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const planHeader = "x-plan"

// planned is a handler that follows the plan in the metadata of the call.
func planned(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	plan := 0
	if values := metadata.ValueFromIncomingContext(ctx, planHeader); len(values) > 0 {
		plan, _ = strconv.Atoi(values[0])
	}

	if plan%3 == 0 {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-header", strconv.Itoa(plan), interceptor.ReplayedHeader, "true"))
	}

	if plan%4 == 0 {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", strconv.Itoa(plan), interceptor.StatusTrailer, "executed"))
	}

	if plan%5 == 0 {
		_ = grpc.SendHeader(ctx, metadata.Pairs("x-sent", strconv.Itoa(plan)))
	}

	req.ResponseSize = -1 // a handler may change its request

	switch plan {
	case 1:
		detailed, _ := status.New(codes.Code(1+plan%16), "refused").WithDetails(&errdetails.ErrorInfo{Reason: "R", Domain: "onlyonce"})

		return nil, detailed.Err()
	case 2:
		return nil, errors.New("no status")
	case 3:
		return nil, onlyonce.Final(status.Error(codes.Internal, "final"))
	case 4:
		return nil, onlyonce.NotExecuted(errors.New("nothing happened"))
	case 5:
		panic("broken")
	case 6:
		time.Sleep(time.Minute)

		return &pb.SimpleResponse{Username: "slow"}, nil
	case 7:
		return nil, fmt.Errorf("calling another service: %w", context.DeadlineExceeded)
	case 8:
		return &pb.SimpleResponse{Username: "\xff is not UTF-8"}, nil
	case 9:
		return nil, nil //nolint:nilnil // the case
	default:
		return &pb.SimpleResponse{Username: strconv.Itoa(plan)}, nil
	}
}

func recoveringPanics(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = status.Errorf(codes.Internal, "panic: %v", problem)
		}
	}()

	return handler(ctx, req)
}

// remoteStore is a store whose operations have to be bounded.
type remoteStore struct{ *faultStore }

func (s remoteStore) Capabilities() store.Capabilities {
	can := s.faultStore.Capabilities()
	can.Immediate, can.Direct = false, nil

	return can
}

// storeFaults are all ways in which a store can fail.
func storeFaults() map[string]func() store.Store {
	damage := func(data []byte) []byte { return append(data[:len(data)-1], 'x') }
	hanging := func() store.Store {
		s := newFaultStore()
		s.claim = func(ctx context.Context, _ store.Claim) (store.Result, error) {
			<-ctx.Done()

			return store.Result{}, ctx.Err()
		}

		return remoteStore{s}
	}
	slow := func() store.Store {
		s := newFaultStore()
		s.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
			time.Sleep(time.Second)

			return s.Store.Claim(ctx, op)
		}

		return s
	}
	panicking := func() store.Store {
		s := newFaultStore()
		s.claim = func(context.Context, store.Claim) (store.Result, error) { panic("the driver is broken") }

		return s
	}

	return map[string]func() store.Store{
		"healthy":      func() store.Store { return newFaultStore() },
		"memstore":     func() store.Store { return memstore.New() },
		"down":         func() store.Store { return newFaultStore().down() },
		"read-only":    func() store.Store { return newFaultStore().readOnly() },
		"full":         func() store.Store { return newFaultStore().refusing(store.ErrFull) },
		"unreadable":   func() store.Store { return newFaultStore().refusing(store.ErrUnreadable) },
		"newer":        func() store.Store { return newFaultStore().refusing(store.ErrNewer) },
		"damaged":      func() store.Store { return newFaultStore().damaging(damage) },
		"reply losing": func() store.Store { return newFaultStore().losingReplies(20) },
		"hanging":      hanging,
		"slow":         slow,
		"panicking":    panicking,
	}
}

// randomCall returns a call that is the same for the same numbers.
func randomCall(ctx context.Context, random *rand.Rand) (context.Context, *pb.SimpleRequest) {
	keys := [][]string{nil, {"one"}, {"two"}, {"three"}, {"one", "two"}, {"a key"}, {""}}
	ctx = withKey(ctx, keys[random.IntN(len(keys))]...)
	ctx = appendMetadata(ctx, planHeader, strconv.Itoa(random.IntN(14)))

	if random.IntN(4) > 0 {
		ctx = appendMetadata(ctx, "x-tenant", strconv.Itoa(random.IntN(2)))
	}

	if random.IntN(3) == 0 {
		return ctx, otherPayment()
	}

	return ctx, payment()
}

func shadowPolicies() map[string]interceptor.Policy {
	on := onlyonce.Policy{Shadow: onlyonce.ShadowOn}
	least := onlyonce.Policy{Shadow: onlyonce.ShadowOn, Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}
	strict := onlyonce.StrictKeys()

	return map[string]interceptor.Policy{
		"optional": {Policy: on}, "required": {Policy: on, Key: interceptor.KeyRequired},
		"strict": {Policy: on, KeyRules: &strict}, "at least once": {Policy: least},
		"time-ordered": {Policy: on, KeyRules: &onlyonce.KeyRules{TimeOrdered: true}, Key: interceptor.KeyRequired},
	}
}

func TestF06F08ShadowModeNeverChangesAnAnswer(t *testing.T) {
	t.Parallel()

	const calls = 40

	seed := rand.Uint64()
	scope := func() interceptor.Scope { return interceptor.ScopeFromMetadata("x-tenant") }

	for fault, newStore := range storeFaults() {
		for name, p := range shadowPolicies() {
			synctest.Test(t, func(t *testing.T) {
				var report onlyonce.ShadowReport

				around := []grpc.UnaryServerInterceptor{recoveringPanics}
				bare := start(t, setup{unprotected: true, before: around}, planned)
				shadow := start(t, setup{
					store: newStore(), before: around, scope: scope, server: keyPolicy(p), engine: []onlyonce.Option{onlyonce.WithObserver(&report)},
				}, planned)

				random := rand.New(rand.NewPCG(seed, 0))

				for i := range calls {
					ctx, req := randomCall(t.Context(), random)
					outgoing, _ := metadata.FromOutgoingContext(ctx)

					began := time.Now()
					want := bare.call(ctx, req)
					took := time.Since(began)

					began = time.Now()
					got := shadow.call(ctx, req)

					if late := time.Since(began); late != took {
						t.Errorf("%s, %s, seed %d, call %d took %v, without the kit %v", fault, name, seed, i, late, took)
					}

					mustEqual(t, fmt.Sprintf("%s, %s, seed %d, call %d with %v", fault, name, seed, i, outgoing), want, got)
				}

				shadow.mustHaveRun(t, bare.runs.Load())

				if err := shadow.engine.Drain(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}

				if m := report.Methods(); len(m) != 1 || m[0].Calls != calls {
					t.Errorf("%s, %s: the report has %+v", fault, name, m)
				}
			})
		}
	}
}

// mustEqual compares all that callers see.
func mustEqual(t *testing.T, about string, want, got answer) {
	t.Helper()

	type seen struct {
		Resp            *pb.SimpleResponse
		Status          any
		Header, Trailer metadata.MD
		Frame           bool
	}

	of := func(a answer) seen {
		return seen{a.resp, status.Convert(a.err).Proto(), a.header, a.trailer, a.headerFrame}
	}

	if diff := cmp.Diff(of(want), of(got), protocmp.Transform(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-without the kit +shadow mode):\n%s", about, diff)
	}
}

func TestShadowModeReportsWhatTheHandlersReturn(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var report onlyonce.ShadowReport

		w := start(t, setup{
			server: policy(onlyonce.Policy{Shadow: onlyonce.ShadowOn}), engine: []onlyonce.Option{onlyonce.WithObserver(&report)},
			before: []grpc.UnaryServerInterceptor{recoveringPanics},
		}, planned)

		plans := []int{10, 10, 2, 2, 3, 5, 9, 9}
		for _, plan := range plans {
			ctx := appendMetadata(t.Context(), planHeader, strconv.Itoa(plan))
			if plan != 5 {
				ctx = withKey(ctx, fmt.Sprintf("key-%d", plan))
			}

			_ = w.call(ctx, payment())

			synctest.Wait()
		}

		got := report.Methods()[0]
		want := onlyonce.ShadowMethod{
			Method: unaryCall, Calls: 8, WithKey: 7, WithoutKey: 1, Replayed: 2, Unknown: 1,
			Ambiguous: map[string]int64{"UNKNOWN": 2, "PANIC": 1},
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the report (-want +got):\n%s", diff)
		}
	})
}

func TestStreamsOfAServerInShadowModePass(t *testing.T) {
	t.Parallel()

	var report onlyonce.ShadowReport

	w := start(t, setup{
		server: keyPolicy(interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}, Key: interceptor.KeyRequired}),
		engine: []onlyonce.Option{onlyonce.WithObserver(&report)},
	}, nil)

	stream, err := pb.NewTestServiceClient(w.conn).FullDuplexCall(withKey(t.Context(), "key"))
	if err != nil {
		t.Fatal(err)
	}

	if _, err = stream.Recv(); status.Code(err) != codes.Unimplemented || status.Convert(err).Message() == "" {
		t.Errorf("%v; want the handler's own answer", err)
	}

	if _, ok := stream.Trailer()[interceptor.StatusTrailer]; ok {
		t.Errorf("the trailer is %v", stream.Trailer())
	}

	if err := w.engine.Drain(t.Context()); err != nil {
		t.Error(err)
	}

	if m := report.Methods(); len(m) > 1 { // the client may be answered before the report is
		t.Errorf("the report is %+v", m)
	}
}

func TestAServerWhoseScopePanicsAnswersInShadowMode(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var report onlyonce.ShadowReport

		w := start(t, setup{
			server: []interceptor.ServerOption{interceptor.WithPolicy(interceptor.Policy{
				Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}, Key: interceptor.KeyRequired,
			})},
			engine: []onlyonce.Option{onlyonce.WithObserver(&report)},
			scope: func() interceptor.Scope {
				return interceptor.ScopeFunc(func(context.Context) (string, error) { panic("the scope is broken") })
			},
		}, answering("paid"))

		w.pay(t, "key").mustAnswer(t, "paid")
		synctest.Wait()

		if m := report.Methods(); len(m) != 1 || m[0].Refused["MISCONFIGURED"] != 1 {
			t.Errorf("the report is %+v", m)
		}
	})
}

func TestValidateReportsTheMethodsInShadowMode(t *testing.T) {
	t.Parallel()

	var told []string

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(onlyonce.ObserverFunc(func(_ context.Context, event onlyonce.Event) {
		if event.Kind == onlyonce.EventShadowMode {
			told = append(told, event.Method)
		}
	})))
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(),
		interceptor.WithMethodPolicy(unaryCall, interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}}),
		interceptor.WithMethodPolicy(emptyCall, interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}}),
		interceptor.WithMethodPolicy(cacheableCall, interceptor.Policy{
			Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}, Key: interceptor.KeyIgnored,
		}))
	if err != nil {
		t.Fatal(err)
	}

	server := grpc.NewServer()
	pb.RegisterTestServiceServer(server, &service{})

	if err := protect.Validate(server); err != nil {
		t.Error(err)
	}

	want := []string{emptyCall, unaryCall}
	if got := protect.ShadowMethods(server); !slices.Equal(got, want) || !slices.Equal(told, want) {
		t.Errorf("%q and the observer was told %q, want %q", got, told, want)
	}
}

func TestClientOfAServerInShadowModeNamesShadowModeAsACause(t *testing.T) {
	t.Parallel()

	reported := &report{}
	w := start(t, setup{server: policy(onlyonce.Policy{Shadow: onlyonce.ShadowOn})},
		func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) { return &pb.SimpleResponse{}, nil })

	callOn(t.Context(), w.clientConn(t, reported.option()), unaryCall, payment())
	reported.mustHave(t, 1, "method="+unaryCall, "the method is in shadow mode")
}
