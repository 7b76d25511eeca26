package main

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// serverAlone measures the server interceptor without a network.
func (c *config) serverAlone(ctx context.Context) error {
	short := *c
	short.rounds *= 3 // because a round is short: the number of live records must not change much

	if err := short.serverAt(ctx, 10_000); err != nil {
		return err
	}

	return c.serverAt(ctx, 1_000_000)
}

// serverAt measures it around so many live records.
func (c *config) serverAt(ctx context.Context, live int) error {
	calls := min(live*2/5, 20_000)

	return c.play(ctx, &contest{
		title: fmt.Sprintf("Server interceptor alone, %s live records", thousands(live)),
		aim: "Bare: decode the request, call the handler, encode the response. Aims over that: first call 3.5 µs and 13 " +
			"allocations, replay 3 µs, no key 150 ns and no allocation.",
		callers: 1, calls: calls, heads: overheadHeads("bare"), columns: overhead, variants: serverVariants(ctx, live, calls),
	})
}

func serverVariants(ctx context.Context, live, calls int) []variant {
	const bareNoKey = "bare handler, no key"

	harness := newHarness(ctx, calls)

	var filled grpc.UnaryServerInterceptor // in the rounds before

	start := func(call func(i int) error) func() (func(i int) error, error) { //nolint:contextcheck // the harness has it
		return func() (func(i int) error, error) {
			// A store of a million records hardly grows in a round; a small one is made anew.
			if filled == nil || calls*10 > live {
				protect, err := newServerInterceptor()
				if err != nil {
					return nil, err
				}

				filled = protect
				if err := harness.fill(protect, live-calls/2); err != nil {
					return nil, err
				}
			}

			harness.freshKeys()
			harness.interceptor = filled

			return call, nil
		}
	}

	return []variant{
		{name: "bare handler", start: start(harness.bare)},
		{name: bareNoKey, start: start(harness.bareNoKey)},
		{name: "no key", against: bareNoKey, start: start(harness.noKey)},
		{name: "first call", start: start(harness.first)},
		{name: "replay", start: start(harness.replay)},
	}
}

// harness does around a handler what a server would do in any case.
type harness struct {
	ctx         context.Context //nolint:containedctx // the same for all calls
	svc         service
	info        grpc.UnaryServerInfo
	request     []byte
	interceptor grpc.UnaryServerInterceptor
	keys        []string // fresh ones for a round
	made        int      // keys so far
	out         []byte
}

func newHarness(ctx context.Context, calls int) *harness {
	request, err := proto.Marshal(newRequest())
	if err != nil {
		panic(err) // not reached: it can be encoded
	}

	return &harness{
		ctx:     grpc.NewContextWithServerTransportStream(ctx, silentStream{}),
		info:    grpc.UnaryServerInfo{FullMethod: unaryCall},
		request: request,
		keys:    make([]string, calls),
	}
}

func (h *harness) freshKeys() {
	for i := range h.keys {
		h.made++
		h.keys[i] = newKey(h.made)
	}
}

func (h *harness) handler(ctx context.Context, req any) (any, error) {
	msg, _ := req.(*testing.SimpleRequest)

	return h.svc.UnaryCall(ctx, msg)
}

// serve is one call, with a key unless it is empty.
func (h *harness) serve(key string, intercept grpc.UnaryServerInterceptor) error {
	md := metadata.MD{
		":authority": {"localhost"}, "content-type": {"application/grpc"}, "user-agent": {"grpc-go/1.85.0"},
	}
	if key != "" {
		md[interceptor.KeyHeader] = []string{key}
	}

	ctx := metadata.NewIncomingContext(h.ctx, md)

	req := new(testing.SimpleRequest)
	if err := proto.Unmarshal(h.request, req); err != nil {
		return err
	}

	resp, err := intercept(ctx, req, &h.info, h.handler)
	if err != nil {
		return err
	}

	msg, _ := resp.(proto.Message)
	h.out, err = proto.MarshalOptions{}.MarshalAppend(h.out[:0], msg)

	return err
}

func (h *harness) fill(protect grpc.UnaryServerInterceptor, records int) error {
	for range records {
		h.made++

		if err := h.serve(newKey(h.made), protect); err != nil {
			return err
		}
	}

	return nil
}

// alone is no interceptor.
func alone(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(ctx, req)
}

func (h *harness) bare(i int) error    { return h.serve(h.keys[i], alone) }
func (h *harness) bareNoKey(int) error { return h.serve("", alone) }
func (h *harness) noKey(int) error     { return h.serve("", h.interceptor) }
func (h *harness) first(i int) error   { return h.serve(h.keys[i], h.interceptor) }

// replay makes all calls with one key, of which the first one of a round may be the first one ever.
func (h *harness) replay(int) error {
	return h.serve("the-same-key-in-every-call-of-them", h.interceptor)
}

// silentStream is a transport that accepts all metadata.
type silentStream struct{}

func (silentStream) Method() string               { return unaryCall }
func (silentStream) SetHeader(metadata.MD) error  { return nil }
func (silentStream) SendHeader(metadata.MD) error { return nil }
func (silentStream) SetTrailer(metadata.MD) error { return nil }

func thousands(n int) string {
	if n < 1_000 {
		return strconv.Itoa(n)
	}

	return fmt.Sprintf("%s,%03d", thousands(n/1_000), n%1_000)
}
