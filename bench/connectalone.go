package main

import (
	stdbytes "bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"connectrpc.com/connect"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Handlers and interceptors of connect-go.
const (
	bareConnect     = "Connect alone"
	onlyonceConnect = "onlyonce on Connect"
	onlyonceGRPC    = "onlyonce on grpc-go"
)

// withoutKit is the way that another way is compared with.
func withoutKit(way string) string {
	if way == bare || way == onlyonceGRPC {
		return bare
	}

	return bareConnect
}

// connectAlone measures the interceptors for connect-go without a network, next to those for grpc-go.
func (c *config) connectAlone(ctx context.Context) error {
	const calls = 4_000

	over := func(head string, format func(float64) string, v value) column {
		return column{head, func(r row) string { return format(r.more(withoutKit(r.way), v)) }}
	}

	return c.play(ctx, &contest{
		id: "connect", question: "What do the interceptors for Connect add, beside those for grpc-go?",
		lost: func(of func(string) row) string {
			first, again := of(onlyonceConnect+", "+firstCall), of(onlyonceConnect+", "+replay)

			return fmt.Sprintf("%s of CPU and %s allocations to a first call, %s and %s to a replay.",
				nanoText(first.adds(bareConnect, cpu)), count(first.adds(bareConnect, allocs)),
				nanoText(again.adds(bareConnect, cpu)), count(again.adds(bareConnect, allocs)))
		},
		about: "A handler of connect-go gets a request in the protocol of Connect, in binary form. On grpc-go only decoding, the handler and " +
			"encoding are measured, so compare what the kit adds, and not the CPU of the two. Records are in memory, and there is no network.",
		columns: []column{
			over("CPU over the same without the kit", moreNanos, cpu),
			over("allocations", moreTenths, allocs),
			over("memory", moreSize, bytes),
			figure("CPU", nanoText, cpu),
		},
		callers: 1, calls: calls, rounds: 3, variants: connectVariants(ctx, calls),
	})
}

// connectVariants are calls on both, without the kit and with it.
func connectVariants(ctx context.Context, calls int) (variants []variant) {
	harness := newHarness(ctx, calls)

	for _, kind := range []string{firstCall, replay} {
		for _, way := range []string{bareConnect, onlyonceConnect, bare, onlyonceGRPC} {
			start := func() (func(i int) error, error) {
				harness.freshKeys()

				serve, err := harness.serverOf(way)
				if err != nil {
					return nil, err
				}

				if kind == firstCall {
					return func(i int) error { return serve(harness.keys[i]) }, nil
				}

				return func(int) error { return serve(harness.keys[0]) }, serve(harness.keys[0])
			}

			variants = append(variants, variant{way: way, kind: kind, start: start})
		}
	}

	return variants
}

// serverOf returns a function that makes a call with a key.
func (h *harness) serverOf(way string) (func(key string) error, error) {
	switch way {
	case bareConnect, onlyonceConnect:
		handler, err := connectProtection(&h.svc, way)
		if err != nil {
			return nil, err
		}

		return func(key string) error { return serveConnect(h.ctx, handler, h.request, key) }, nil
	default:
		h.interceptor = alone

		if way == onlyonceGRPC {
			var err error
			if h.interceptor, err = protect(unbounded()); err != nil {
				return nil, err
			}
		}

		return h.serve, nil
	}
}

// connectProtection returns the handler of connect-go, with the kit in front or without it.
func connectProtection(svc *service, way string) (http.Handler, error) {
	call := func(ctx context.Context, req *connect.Request[testing.SimpleRequest]) (*connect.Response[testing.SimpleResponse], error) {
		msg, err := svc.UnaryCall(ctx, req.Msg)
		if err != nil {
			return nil, err
		}

		return connect.NewResponse(msg), nil
	}

	if way == bareConnect {
		return connect.NewUnaryHandler(unaryCall, call), nil
	}

	engine, err := onlyonce.New(unbounded())
	if err != nil {
		return nil, err
	}

	server, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return nil, err
	}

	return onceconnect.Handler(connect.NewUnaryHandler(unaryCall, call, connect.WithInterceptors(onceconnect.NewServer(server)))), nil
}

var errConnectAnswer = errors.New("the answer of Connect is wrong")

// serveConnect makes one call.
func serveConnect(ctx context.Context, h http.Handler, request []byte, key string) error {
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: unaryCall}, Host: "localhost", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {"application/proto"}, "Connect-Protocol-Version": {"1"}, "User-Agent": {userAgent}, "Idempotency-Key": {key},
		},
		Body: io.NopCloser(stdbytes.NewReader(request)), ContentLength: int64(len(request)), RequestURI: unaryCall,
	}).WithContext(ctx)

	w := silentWriter{header: make(http.Header)}
	h.ServeHTTP(&w, r)

	// A response is a little larger than its payload, and an error has another status.
	if w.status != 0 && w.status != http.StatusOK || w.written < payloadSize {
		return errConnectAnswer
	}

	return nil
}
