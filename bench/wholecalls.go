package main

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// wholeCalls measures calls over TCP: client, kernel and server on this machine.
func (c *config) wholeCalls(ctx context.Context) error {
	protect, err := protectedServer()
	if err != nil {
		return err
	}

	bare, err := listen(ctx, new(service))
	if err != nil {
		return err
	}
	defer bare.stop()

	protected, err := listen(ctx, new(service), protect)
	if err != nil {
		return err
	}
	defer protected.stop()

	trailing, err := listen(ctx, new(service), grpc.ChainUnaryInterceptor(trailer))
	if err != nil {
		return err
	}
	defer trailing.stop()

	variants, err := wholeCallVariants(ctx, bare, trailing, protected)
	if err != nil {
		return err
	}

	err = c.play(ctx, &contest{
		title: "Whole calls over TCP, 1 caller", callers: 1, calls: 3_000,
		heads: throughputHeads(), columns: throughput, variants: variants,
	})
	if err != nil {
		return err
	}

	return c.play(ctx, &contest{
		title: "Whole calls over TCP, 64 callers", aim: "Aim: first calls reach at least 0.85 of gRPC that sends the key.",
		callers: 64, calls: 12_000,
		heads: throughputHeads(), columns: throughput, variants: variants,
	})
}

// trailer is an interceptor that does no more than send the status trailer, which every answer to a keyed call has.
func trailer(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	md := metadata.MD{interceptor.StatusTrailer: {string(onlyonce.StatusExecuted)}}
	if err := grpc.SetTrailer(ctx, md); err != nil {
		return nil, err
	}

	return handler(ctx, req)
}

func wholeCallVariants(ctx context.Context, bare, trailing, protected *loopback) ([]variant, error) {
	both, err := interceptor.DialOptions(interceptor.WithAllMethods())
	if err != nil {
		return nil, err
	}

	var problem error

	dial := func(l *loopback, opts ...grpc.DialOption) testing.TestServiceClient {
		client, err := l.dial(opts...)
		if err != nil {
			problem = err
		}

		return client
	}

	var keys atomic.Int64

	req := newRequest()
	call := func(client testing.TestServiceClient, key func() string) func() (func(int) error, error) {
		return always(func(int) error {
			ctx := ctx
			if key != nil {
				ctx = metadata.AppendToOutgoingContext(ctx, interceptor.KeyHeader, key())
			}

			_, err := client.UnaryCall(ctx, req)

			return err
		})
	}
	fresh := func() string { return newKey(int(keys.Add(1))) }
	same := func() string { return "the-same-key-in-every-call-of-them" }

	const noKey = "gRPC without a key"

	return []variant{
		{name: "gRPC that sends a key", start: call(dial(bare), fresh)},
		{name: "gRPC that sends a key and gets a trailer", start: call(dial(trailing), fresh)},
		{name: noKey, start: call(dial(bare), nil)},
		{name: "onlyonce: no key", against: noKey, start: call(dial(protected), nil)},
		{name: "onlyonce: first call", start: call(dial(protected), fresh)},
		{name: "onlyonce: replay", start: call(dial(protected), same)},
		{name: "onlyonce on both sides: first call", start: call(dial(protected, both...), nil)},
	}, problem
}
