//go:build !race

// The race detector makes allocations of its own.

package main

import (
	stdbytes "bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	grpctesting "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// answering is an HTTP client that answers at once, as net/http does with the answer of a protected server.
type answering []byte

// Do implements connect.HTTPClient.
func (a answering) Do(req *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, req.Body)
	_ = req.Body.Close()

	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header:        http.Header{"Content-Type": {"application/proto"}, "Trailer-Idempotency-Status": {string(onlyonce.StatusExecuted)}},
		Body:          io.NopCloser(stdbytes.NewReader(a)),
		ContentLength: int64(len(a)),
	}, nil
}

// connectClientVariants are calls of a client of connect-go without a network, without the kit and with it.
func connectClientVariants(ctx context.Context) ([]variant, error) {
	body, err := proto.Marshal(&grpctesting.SimpleResponse{Username: "caller"})
	if err != nil {
		return nil, err
	}

	call := func(ctx context.Context, opts ...connect.ClientOption) func() (func(int) error, error) {
		client := connect.NewClient[grpctesting.SimpleRequest, grpctesting.SimpleResponse](
			answering(body), "http://localhost"+unaryCall, opts...)

		return always(func(int) error {
			_, err := client.CallUnary(ctx, connect.NewRequest(newRequest()))

			return err
		})
	}

	with := func(opts ...interceptor.ClientOption) connect.ClientOption {
		kit, problem := onceconnect.NewClient(opts...)
		if problem != nil {
			err = problem
		}

		return connect.WithInterceptors(kit)
	}

	return []variant{
		{way: bareConnect, start: call(ctx)},
		{way: "fresh key", start: call(ctx, with(interceptor.WithAllMethods()))},
		{way: "key from the context", start: call(onlyonce.ContextWithKey(ctx, newKey(1)), with(interceptor.WithAllMethods()))},
		{way: "method that is not protected", start: call(ctx, with())},
	}, err
}

// A call with a key has its own headers, and each attempt its own contexts. Package interceptor reads the metadata of the answer as gRPC's.
func TestConnectClientAllocations(t *testing.T) {
	variants, err := connectClientVariants(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	ceilings(t, variants, bareConnect, map[string]float64{
		"fresh key": 33, "key from the context": 32, "method that is not protected": 3,
	})
}
