//go:build unix

package oncegateway_test

import (
	"context"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

const (
	passGRPC      = "grpc_pass grpc://backend; "
	sendGRPCAgain = "grpc_next_upstream error timeout non_idempotent; "
)

// charge makes a call over gRPC.
func charge(ctx context.Context, conn *grpc.ClientConn, key string, cents int64) (metadata.MD, *tillv1.ChargeResponse, error) {
	var trailer metadata.MD

	ctx = metadata.AppendToOutgoingContext(ctx, interceptor.KeyHeader, key)
	resp, err := tillv1.NewTillServiceClient(conn).Charge(ctx, &tillv1.ChargeRequest{Customer: "ann", Cents: cents}, grpc.Trailer(&trailer))

	return trailer, resp, err
}

// said is the status in a trailer.
func said(trailer metadata.MD) onlyonce.Status {
	if values := trailer.Get(interceptor.StatusTrailer); len(values) == 1 {
		return onlyonce.Status(values[0])
	}

	return ""
}

func TestNginxPassesMetadataAndRejectionsOfGRPC(t *testing.T) {
	attempts := &atomic.Int64{}
	busy := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		attempts.Add(1)

		if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("busy")) > 0 {
			_ = grpc.SetTrailer(ctx, metadata.Pairs(interceptor.StatusTrailer, "rejected", interceptor.PushbackTrailer, "1"))

			return nil, status.Error(codes.Unavailable, "in progress")
		}

		return handler(ctx, req)
	}

	w := start(t, setup{server: []grpc.ServerOption{grpc.ChainUnaryInterceptor(busy)}}, nil)
	conn := w.dial(startNginx(t, passGRPC, w.backend).grpc, grpc.WithDefaultServiceConfig(nativeRetries))

	trailer, first, err := charge(t.Context(), conn, "order-1", 1)
	if err != nil || said(trailer) != onlyonce.StatusExecuted {
		t.Fatalf("%v, trailer %v", err, trailer)
	}

	trailer, again, err := charge(t.Context(), conn, "order-1", 1)
	if err != nil || said(trailer) != onlyonce.StatusReplayed || len(trailer.Get(interceptor.ExecutedAtTrailer)) != 1 ||
		again.GetNumber() != first.GetNumber() {
		t.Errorf("a replay: %v, trailer %v", err, trailer)
	}

	trailer, _, err = charge(t.Context(), conn, "order-1", 2)
	if status.Code(err) != codes.FailedPrecondition || said(trailer) != onlyonce.StatusRejected || len(status.Convert(err).Details()) == 0 {
		t.Errorf("another request: %v, trailer %v", err, trailer)
	}

	w.mustHaveRun(1)
	attempts.Store(0)

	// A rejection comes as trailers only, so that gRPC retries it.
	trailer, _, err = charge(metadata.AppendToOutgoingContext(t.Context(), "busy", "yes"), conn, "order-2", 1)
	if status.Code(err) != codes.Unavailable || said(trailer) != onlyonce.StatusRejected || attempts.Load() != 4 {
		t.Errorf("a call in progress: %d attempts, want 4; %v, trailer %v", attempts.Load(), err, trailer)
	}
}

// Nginx never sends a call of gRPC again that it has begun to send, whatever the configuration says. Its client has to.
func TestF05ALostReplyOfGRPCBehindNginxIsRetriedByTheClient(t *testing.T) {
	var w *world

	lost := &atomic.Int64{}
	w = start(t, setup{}, func(_ context.Context, req *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		if lost.Add(-1) >= 0 {
			w.listener.cut()
		}

		return &tillv1.ChargeResponse{Number: w.runs.Load(), Cents: req.GetCents()}, nil
	})

	address := startNginx(t, passGRPC+sendGRPCAgain, w.backend, w.backend).grpc

	lost.Store(1)

	trailer, _, err := charge(t.Context(), w.dial(address), "order-1", 1)
	if status.Code(err) != codes.Unavailable || said(trailer) != "" {
		t.Errorf("%v, trailer %v; want UNAVAILABLE by nginx", err, trailer)
	}

	trailer, resp, err := charge(t.Context(), w.dial(address), "order-1", 1)
	if err != nil || said(trailer) != onlyonce.StatusReplayed || resp.GetNumber() != 1 {
		t.Errorf("the retry: %v, %v, trailer %v", resp, err, trailer)
	}

	w.mustHaveRun(1)

	// The client of the kit does so by itself, where it knows that the method is protected.
	dial, err := interceptor.DialOptions(interceptor.WithMethods(tillv1.TillService_Charge_FullMethodName), interceptor.WithRetry(retry.Policy{
		MaxAttempts: 10_000, BaseDelay: 1, MaxDelay: 1,
	}))
	if err != nil {
		t.Fatal(err)
	}

	conn := w.dial(address, dial...)
	if _, _, err := charge(t.Context(), conn, "order-2", 1); err != nil {
		t.Fatal(err)
	}

	lost.Store(1)

	if trailer, _, err := charge(t.Context(), conn, "order-3", 1); err != nil || said(trailer) != onlyonce.StatusReplayed {
		t.Errorf("%v, trailer %v", err, trailer)
	}

	w.mustHaveRun(3)
}

// Nginx drops metadata with an underscore in its name, unless it is told not to.
func TestNginxDropsMetadataWithAnUnderscore(t *testing.T) {
	w := start(t, setup{scope: func() interceptor.Scope { return interceptor.ScopeFromMetadata("x_caller") }}, nil)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x_caller", "ann")

	_, _, err := charge(ctx, w.dial(w.backend.String()), "order-1", 1)
	if err != nil {
		t.Fatalf("without nginx: %v", err)
	}

	_, _, err = charge(ctx, w.dial(startNginx(t, passGRPC, w.backend).grpc), "order-1", 1)
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("behind nginx: %v, want SCOPE_MISSING", err)
	}
}
