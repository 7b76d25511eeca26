package main

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// Protections of servers.
const (
	bare           = "gRPC alone"
	bareTrailer    = "gRPC with a trailer"
	byLeast        = "the least"
	byOnlyonce     = "onlyonce"
	byTextbook     = "textbook"
	byTwoScripts   = "two scripts"
	withoutBatches = "onlyonce without batching"
	withoutIndex   = "onlyonce without index"
)

// protection is a way to protect a server.
type protection struct {
	name string
	// kinds are the kinds of calls that are measured.
	kinds []string
	open  opener
}

// opener returns an interceptor, and a function that closes its clients, which may be nil. redisAddr is the address of
// Redis, for records in Redis.
type opener func(redisAddr string) (grpc.UnaryServerInterceptor, func() error, error)

// inMemory are the protections that keep records in the process of the server.
func inMemory() []protection {
	both := []string{firstCall, replay}

	return []protection{
		{bare, []string{anyCall}, only(alone)},
		{bareTrailer, []string{anyCall}, only(trailer)},
		{byLeast, both, openLeast},
		{byOnlyonce, both, openMemstore},
	}
}

// inRedis are the protections that keep records in Redis.
func inRedis() []protection {
	both := []string{firstCall, replay}

	return []protection{
		{bare, []string{anyCall}, only(alone)},
		{byTextbook, both, openTextbook},
		{byTwoScripts, both, openTwoScripts},
		{byOnlyonce, both, openRedisStore()},
		{withoutBatches, both, openRedisStore(redisstore.WithoutBatching())},
		{withoutIndex, []string{firstCall}, openRedisStore(redisstore.WithoutIndex())}, // a replay does not use the index
	}
}

// openProtection opens a protection by its name. Without an address of Redis, it keeps its records in memory.
func openProtection(name, redisAddr string) (grpc.UnaryServerInterceptor, func() error, error) {
	all := inMemory()
	if redisAddr != "" {
		all = inRedis()
	}

	i := slices.IndexFunc(all, func(p protection) bool { return p.name == name })
	if i < 0 {
		return nil, nil, fmt.Errorf("no protection is named %q", name)
	}

	intercept, end, err := all[i].open(redisAddr)
	if end == nil { // it has no clients
		end = func() error { return nil }
	}

	return intercept, end, err
}

// only opens an interceptor that needs nothing.
func only(intercept grpc.UnaryServerInterceptor) opener {
	return func(string) (grpc.UnaryServerInterceptor, func() error, error) { return intercept, nil, nil }
}

func openLeast(string) (grpc.UnaryServerInterceptor, func() error, error) {
	return newLeast().intercept, nil, nil
}

// openMemstore opens onlyonce with records in memory.
func openMemstore(string) (grpc.UnaryServerInterceptor, func() error, error) {
	intercept, err := protect(unbounded())

	return intercept, nil, err
}

// openRedisStore opens onlyonce with records in Redis.
func openRedisStore(opts ...redisstore.Option) opener {
	return func(redisAddr string) (grpc.UnaryServerInterceptor, func() error, error) {
		s, err := redisstore.Open("redis://"+redisAddr, opts...)
		if err != nil {
			return nil, nil, err
		}

		intercept, err := protect(s)

		return intercept, s.Close, err
	}
}

// protect makes the interceptor of onlyonce with a store.
func protect(s store.Store) (grpc.UnaryServerInterceptor, error) {
	engine, err := onlyonce.New(s)
	if err != nil {
		return nil, err
	}

	server, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return nil, err
	}

	return server.Unary, nil
}

// alone calls the handler without protection.
func alone(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(ctx, req)
}

// trailer only sends the status trailer, which every answer to a keyed call has.
func trailer(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	md := metadata.MD{interceptor.StatusTrailer: {string(onlyonce.StatusExecuted)}}
	if err := grpc.SetTrailer(ctx, md); err != nil {
		return nil, err
	}

	return handler(ctx, req)
}
