package interop_test

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// needsServerID wants the name of the server in each answer. The test server of grpc-go does not give it.
const needsServerID = "pick_first_unary"

// cases are the interoperability cases that need no credentials, no proxy and no second server. Left out is orca_oob, whose server needs
// a setting that only grpc-go has. A case ends the process if it fails.
func cases(conn *grpc.ClientConn, addr string, connect func() (*grpc.ClientConn, func())) map[string]func(context.Context) {
	client := testgrpc.NewTestServiceClient(conn)
	of := func(run func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context) {
		return func(ctx context.Context) { run(ctx, client) }
	}

	return map[string]func(context.Context){
		"empty_unary":                 of(interop.DoEmptyUnaryCall),
		"large_unary":                 of(interop.DoLargeUnaryCall),
		"client_streaming":            of(interop.DoClientStreaming),
		"server_streaming":            of(interop.DoServerStreaming),
		"ping_pong":                   of(interop.DoPingPong),
		"empty_stream":                of(interop.DoEmptyStream),
		"timeout_on_sleeping_server":  of(interop.DoTimeoutOnSleepingServer),
		"cancel_after_begin":          of(interop.DoCancelAfterBegin),
		"cancel_after_first_response": of(interop.DoCancelAfterFirstResponse),
		"status_code_and_message":     of(interop.DoStatusCodeAndMessage),
		"special_status_message":      of(interop.DoSpecialStatusMessage),
		"custom_metadata":             of(interop.DoCustomMetadata),
		"unimplemented_method":        func(ctx context.Context) { interop.DoUnimplementedMethod(ctx, conn) },
		"unimplemented_service": func(ctx context.Context) {
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
		},
		"orca_per_rpc": func(ctx context.Context) { interop.DoORCAPerRPCTest(ctx, client) },
		"rpc_soak": func(ctx context.Context) {
			interop.DoSoakTest(ctx, soak(addr, func() (*grpc.ClientConn, func()) { return conn, func() {} }))
		},
		"channel_soak": func(ctx context.Context) { interop.DoSoakTest(ctx, soak(addr, connect)) },
		needsServerID:  func(ctx context.Context) { interop.DoPickFirstUnary(ctx, client) },
	}
}

func soak(addr string, channel func() (*grpc.ClientConn, func())) interop.SoakTestConfig {
	return interop.SoakTestConfig{
		RequestSize: 271828, ResponseSize: 314159, ServerAddr: addr, NumWorkers: 2, Iterations: 10,
		PerIterationMaxAcceptableLatency: time.Minute, OverallTimeout: 5 * time.Minute, ChannelForTest: channel,
	}
}
