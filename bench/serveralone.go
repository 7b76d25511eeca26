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
	const live, calls = 10_000, 4_000

	return c.play(ctx, &contest{
		id: "server", question: "What does the server interceptor add to a call, without the network?",
		lost: func(of func(string) row) string {
			first, again, none := of(onlyonceFirst), of(onlyonceReplay), of(byOnlyonce+", "+noKey)

			return fmt.Sprintf("%s of CPU and %s allocations to a first call, %s and %s to a replay, %s to a call without a key.",
				nanoText(first.adds(bare, cpu)), count(first.adds(bare, allocs)),
				nanoText(again.adds(bare, cpu)), count(again.adds(bare, allocs)), nanoText(none.adds(bare, cpu)))
		},
		about: fmt.Sprintf("gRPC alone decodes the request, calls the handler and encodes the response. About %s records of other calls are "+
			"live.", thousands(live)),
		columns: []column{
			more("CPU over gRPC alone", bare, moreNanos, cpu),
			timesAdded("of what the least adds", byLeast, cpu),
			more("allocations (aim: 8, replays 15)", bare, moreTenths, allocs),
			more("memory", bare, moreSize, bytes),
			figure("CPU", nanoText, cpu),
		},
		callers: 1, calls: calls, rounds: 3, variants: serverVariants(ctx, live, calls),
	})
}

// noKey is a kind of calls that are not protected.
const noKey = "no key"

// serverVariants returns the variants. Each makes calls while this number of records is live.
func serverVariants(ctx context.Context, live, calls int) (variants []variant) {
	harness := newHarness(ctx, calls)

	for _, kind := range []string{firstCall, replay, noKey} {
		for _, way := range []string{bare, byLeast, byOnlyonce} {
			start := func() (func(i int) error, error) { //nolint:contextcheck // opening a store takes no context
				intercept, _, err := openProtection(way, "") // in memory, it has nothing to close
				if err != nil {
					return nil, err
				}

				harness.freshKeys()
				harness.interceptor = intercept

				return harness.call(kind), harness.fill(live - calls/2)
			}

			variants = append(variants, variant{way: way, kind: kind, start: start})
		}
	}

	return variants
}

// harness calls an interceptor as a server would.
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

// serve makes one call, with a key unless it is empty.
func (h *harness) serve(key string) error {
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

	resp, err := h.interceptor(ctx, req, &h.info, h.handler)
	if err != nil {
		return err
	}

	msg, _ := resp.(proto.Message)
	h.out, err = proto.MarshalOptions{}.MarshalAppend(h.out[:0], msg)

	return err
}

// fill makes records, if the interceptor keeps any.
func (h *harness) fill(records int) error {
	for range records {
		h.made++

		if err := h.serve(newKey(h.made)); err != nil {
			return err
		}
	}

	return nil
}

// call returns the i-th call of a kind.
func (h *harness) call(kind string) func(i int) error {
	switch kind {
	case firstCall:
		return func(i int) error { return h.serve(h.keys[i]) }
	case replay: // all but the first
		return func(int) error { return h.serve("the-same-key-in-every-call-of-them") }
	default:
		return func(int) error { return h.serve("") }
	}
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
