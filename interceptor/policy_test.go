package interceptor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

func TestPolicyOfTheMethodGoesBeforeServiceAndServerAndEngine(t *testing.T) {
	retention := func(hours int) interceptor.Policy {
		return interceptor.Policy{Policy: onlyonce.Policy{Retention: time.Duration(hours) * time.Hour}}
	}

	levels := []struct {
		name   string
		engine []onlyonce.Option
		server []interceptor.ServerOption
		want   time.Duration
	}{
		{name: "built in", want: 24 * time.Hour},
		{name: "engine", engine: []onlyonce.Option{onlyonce.WithPolicy(onlyonce.Policy{Retention: time.Hour})}, want: time.Hour},
		{name: "server", server: []interceptor.ServerOption{interceptor.WithPolicy(retention(2))}, want: 2 * time.Hour},
		{name: "service", server: []interceptor.ServerOption{interceptor.WithServicePolicy(testService, retention(3))}, want: 3 * time.Hour},
		{name: "method", server: []interceptor.ServerOption{interceptor.WithMethodPolicy(unaryCall, retention(4))}, want: 4 * time.Hour},
	}

	var (
		engine []onlyonce.Option
		server []interceptor.ServerOption
	)

	for _, level := range levels {
		engine, server = append(engine, level.engine...), append(level.server, server...)

		t.Run(level.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, setup{engine: engine, server: server}, nil)
				w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusExecuted)

				rec, err := w.engine.Lookup(t.Context(), onlyonce.Identity{Scope: "shared", Method: unaryCall, Key: "key"})
				if got := rec.ExpiresAt.Sub(rec.EndedAt); err != nil || got != level.want {
					t.Errorf("the retention is %v, want %v; %v", got, level.want, err)
				}
			})
		})
	}
}

func TestPoliciesMergeFieldByField(t *testing.T) {
	strict := onlyonce.StrictKeys()
	w := start(t, setup{store: txstore.New(), server: []interceptor.ServerOption{
		interceptor.WithPolicy(interceptor.Policy{
			Key: interceptor.KeyRequired, Classes: map[codes.Code]onlyonce.Class{codes.Aborted: onlyonce.ClassNotExecuted},
		}),
		interceptor.WithServicePolicy(testService, interceptor.Policy{KeyRules: &strict}),
		interceptor.WithMethodPolicy(unaryCall, interceptor.Policy{
			Classes: map[codes.Code]onlyonce.Class{codes.Internal: onlyonce.ClassDefinite},
		}),
		interceptor.WithMethodPolicy(unaryCall, interceptor.Policy{Policy: onlyonce.Policy{MaxOutcome: 5}}),
		interceptor.WithMethodPolicy(emptyCall, interceptor.Policy{Key: interceptor.KeyOptional}),
	}}, nil)

	w.call(t.Context(), payment()).mustBe(t, keyMissing)
	w.pay(t, "short").mustBe(t, keyInvalid)
	w.mustHaveRun(t, 0)

	for code, said := range map[codes.Code]onlyonce.Status{codes.Aborted: "released", codes.Internal: "executed"} {
		w.handle = failing(status.Error(code, "no"))
		w.pay(t, "long-enough-"+code.String()).mustHaveStatus(t, said)
	}

	w.pay(t, "long-enough-"+codes.Internal.String()).mustBe(t, outcomeNotStored)

	w.handle = failing(status.Error(codes.Internal, "no"))
	callOn(withKey(t.Context(), "long-enough"), w.conn, cacheableCall, payment()).mustHaveStatus(t, onlyonce.StatusUnknown)

	w.handle = nil
	if _, err := pb.NewTestServiceClient(w.conn).EmptyCall(t.Context(), &pb.Empty{}); err != nil {
		t.Errorf("a method whose key is optional: %v", err)
	}
}

func TestIgnoredKeysProtectNothing(t *testing.T) {
	w := start(t, setup{server: []interceptor.ServerOption{
		interceptor.WithMethodPolicy(unaryCall, interceptor.Policy{Key: interceptor.KeyIgnored}),
	}}, nil)

	for range 2 {
		a := w.pay(t, "not even a key")
		if a.err != nil || len(a.trailer.Get(interceptor.StatusTrailer)) != 0 {
			t.Errorf("the answer is %v, %v with trailer %v", a.resp, a.err, a.trailer)
		}
	}

	w.mustHaveRun(t, 2)
}

func TestMethodsWithoutSideEffectsAreBypassed(t *testing.T) {
	w := start(t, setup{
		server: keyPolicy(interceptor.Policy{Key: interceptor.KeyRequired}), register: registerLookups,
	}, nil)

	get := callOn(t.Context(), w.conn, lookupGet, payment())
	get.mustAnswer(t, "/onlyonce.test.Lookups/Get")

	if len(get.trailer.Get(interceptor.StatusTrailer)) != 0 {
		t.Errorf("trailer %v on a method that is not protected", get.trailer)
	}

	callOn(withKey(t.Context(), "key"), w.conn, lookupGet, otherPayment()).mustAnswer(t, "/onlyonce.test.Lookups/Get")
	callOn(t.Context(), w.conn, lookupPut, payment()).mustBe(t, keyMissing)
	callOn(withKey(t.Context(), "key"), w.conn, lookupPut, payment()).mustHaveStatus(t, onlyonce.StatusExecuted)
}

func TestResponseTypeNeedNotBeLinkedIn(t *testing.T) {
	w := start(t, setup{register: registerLookups}, nil)

	first := callOn(withKey(t.Context(), "key"), w.conn, lookupDynamic, payment())
	first.mustHaveStatus(t, onlyonce.StatusExecuted)

	replay := callOn(withKey(t.Context(), "key"), w.conn, lookupDynamic, payment())
	replay.mustHaveStatus(t, onlyonce.StatusReplayed)
	replay.mustAnswer(t, "/onlyonce.test.Lookups/Dynamic")
}

func TestKeyedCallOfAnUnregisteredMethodIsRefused(t *testing.T) {
	runs := 0
	w := start(t, setup{register: func(s *grpc.Server) { registerHidden(s, &runs) }}, nil)

	a := callOn(withKey(t.Context(), "key"), w.conn, hiddenCall, payment())
	a.mustBe(t, notSupported)

	if runs != 0 {
		t.Errorf("%d runs, want none", runs)
	}

	if a := callOn(t.Context(), w.conn, hiddenCall, payment()); a.err != nil || runs != 1 {
		t.Errorf("without a key the answer is %v, %v after %d runs", a.resp, a.err, runs)
	}
}

func TestMessagesThatAreNoProtobufAreRefused(t *testing.T) {
	w := start(t, setup{}, nil)

	protect, err := interceptor.NewServer(w.engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	runs := 0
	ctx := incoming(t.Context(), interceptor.KeyHeader, "key")

	resp, err := protect.Unary(ctx, "a text", &grpc.UnaryServerInfo{FullMethod: unaryCall}, func(context.Context, any) (any, error) {
		runs++

		return "another", nil
	})
	if status.Code(err) != codes.Unimplemented || resp != nil || runs != 0 {
		t.Errorf("the answer is %v, %v after %d runs", resp, err, runs)
	}
}

func TestResponseThatIsNoProtobufIsAmbiguous(t *testing.T) {
	text := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		_, _ = handler(ctx, req)

		return "a text", nil
	}
	w := start(t, setup{behind: []grpc.UnaryServerInterceptor{text}}, nil)

	a := w.pay(t, "key")
	a.mustHaveStatus(t, onlyonce.StatusUnknown)

	if status.Code(a.err) != codes.Internal {
		t.Errorf("the answer is %v, %v", a.resp, a.err)
	}

	w.pay(t, "key").mustBe(t, outcomeUnknown)
	w.mustHaveRun(t, 1)
}

func TestRequestThatCannotBeEncodedIsRefused(t *testing.T) {
	w := start(t, setup{}, nil)

	protect, err := interceptor.NewServer(w.engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	req := &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Message: "\xff"}}

	_, err = protect.Unary(incoming(t.Context(), interceptor.KeyHeader, "key"), req, &grpc.UnaryServerInfo{FullMethod: unaryCall},
		func(context.Context, any) (any, error) {
			t.Error("the handler ran")

			return &pb.SimpleResponse{}, nil
		})
	if err == nil {
		t.Error("a request without a fingerprint was executed")
	}
}
