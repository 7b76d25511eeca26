package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// step is something that a handler does with its metadata.
type step func(ctx context.Context) error

func setHeader(pairs ...string) step {
	return func(ctx context.Context) error { return grpc.SetHeader(ctx, metadata.Pairs(pairs...)) }
}

func sendHeader(pairs ...string) step {
	return func(ctx context.Context) error { return grpc.SendHeader(ctx, metadata.Pairs(pairs...)) }
}

func setTrailer(pairs ...string) step {
	return func(ctx context.Context) error { return grpc.SetTrailer(ctx, metadata.Pairs(pairs...)) }
}

func TestMetadataOfALiveCallIsAsWithoutUs(t *testing.T) {
	scripts := map[string][]step{
		"nothing":                         {},
		"header":                          {setHeader("x", "1")},
		"header twice":                    {setHeader("x", "1", "y", "1"), setHeader("x", "2", "x", "3")},
		"nothing in a header":             {setHeader(), setTrailer()},
		"trailer":                         {setTrailer("x", "1"), setTrailer("x", "2", "y", "3")},
		"header sent":                     {sendHeader("x", "1")},
		"header set and sent":             {setHeader("x", "1"), sendHeader("x", "2"), setTrailer("x", "3")},
		"nothing sent":                    {setHeader("x", "1"), sendHeader()},
		"header sent twice":               {sendHeader("x", "1"), sendHeader("x", "2")},
		"header sent twice with nothing":  {sendHeader("x", "1"), sendHeader()},
		"header set after it was sent":    {sendHeader("x", "1"), setHeader("x", "2"), setTrailer("x", "3")},
		"nothing set after it was sent":   {sendHeader("x", "1"), setHeader()},
		"binary":                          {setHeader("x-bin", "\x00\xff"), setTrailer("x-bin", "\x01", "x-bin", "\x02")},
		"header sent without any content": {sendHeader(), setTrailer("x", "1")},
	}

	for name, script := range scripts {
		for _, fails := range []error{nil, status.Error(codes.NotFound, "no")} {
			t.Run(fmt.Sprintf("%s, %v", name, status.Code(fails)), func(t *testing.T) {
				var said []string

				handle := func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					for _, do := range script {
						said = append(said, fmt.Sprint(do(ctx)))
					}

					return &pb.SimpleResponse{}, fails
				}

				bare := start(t, setup{unprotected: true}, handle).pay(t, "key")
				want := said
				said = nil
				ours := start(t, setup{}, handle).pay(t, "key")

				if !slices.Equal(said, want) {
					t.Errorf("the handler got %q, and %q without us", said, want)
				}

				if diff := cmp.Diff(ownMetadata(bare.header), ownMetadata(ours.header)); diff != "" {
					t.Errorf("header (-without us +with us):\n%s", diff)
				}

				if diff := cmp.Diff(ownMetadata(bare.trailer), ownMetadata(ours.trailer)); diff != "" {
					t.Errorf("trailer (-without us +with us):\n%s", diff)
				}

				if ours.headerFrame != bare.headerFrame {
					t.Errorf("header frame: %t, and %t without us", ours.headerFrame, bare.headerFrame)
				}
			})
		}
	}
}

func TestHeaderThatTheHandlerSendsReachesItsCallerAtOnceAndIsReplayed(t *testing.T) {
	w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		err := errors.Join(grpc.SetHeader(ctx, metadata.Pairs("x", "1")), grpc.SendHeader(ctx, metadata.Pairs("x", "2")))

		return &pb.SimpleResponse{Username: "sent"}, err
	})

	first := w.pay(t, "key")
	first.mustHaveStatus(t, onlyonce.StatusExecuted)
	w.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, w))
}

func TestGoroutinesOfAHandlerMaySetMetadata(t *testing.T) {
	const writers = 20

	w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		var all sync.WaitGroup

		for i := range writers {
			all.Go(func() {
				_ = grpc.SetHeader(ctx, metadata.Pairs("x-writer", strconv.Itoa(i)))
				_ = grpc.SetTrailer(ctx, metadata.Pairs("x-writer", strconv.Itoa(i)))
			})
		}

		all.Wait()

		return &pb.SimpleResponse{}, nil
	})

	first := w.pay(t, "key")
	if n, m := len(first.header.Get("x-writer")), len(first.trailer.Get("x-writer")); n != writers || m != writers {
		t.Errorf("%d values in the header and %d in the trailer, want %d each", n, m, writers)
	}

	w.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, w))
}

func TestGoroutinesThatOutliveTheirHandlerChangeNothing(t *testing.T) {
	var late sync.WaitGroup

	returned := make(chan struct{})
	w := start(t, setup{behind: []grpc.UnaryServerInterceptor{
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			resp, err := handler(ctx, req)

			close(returned)
			time.Sleep(time.Millisecond) // into the middle of the late goroutine

			return resp, err
		},
	}}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		late.Go(func() {
			<-returned

			for range 1000 {
				_ = grpc.SetHeader(ctx, metadata.Pairs("x-late", "1"))
				_ = grpc.SetTrailer(ctx, metadata.Pairs("x-late", "1"))
			}

			_ = grpc.SendHeader(ctx, metadata.Pairs("x-late", "1"))
		})

		return &pb.SimpleResponse{Username: "paid"}, nil
	})

	w.pay(t, "key").mustAnswer(t, "paid")
	late.Wait()
	w.pay(t, "key").mustAnswer(t, "paid")
}

func TestInterceptorWorksWithoutAServer(t *testing.T) {
	protect, err := interceptor.NewServer(engine(t), interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	runs, info := 0, &grpc.UnaryServerInfo{FullMethod: unaryCall}
	handle := func(ctx context.Context, _ any) (any, error) {
		runs++

		if err := errors.Join(
			grpc.SetHeader(ctx, metadata.Pairs("x", "1")), grpc.SendHeader(ctx, metadata.Pairs("x", "2")),
			grpc.SetHeader(ctx, metadata.Pairs("x", "3")), grpc.SetTrailer(ctx, metadata.Pairs("x", "4")),
		); err != nil {
			return nil, err
		}

		method, _ := grpc.Method(ctx)

		return &pb.SimpleResponse{Username: "paid" + method}, nil
	}

	for range 2 {
		resp, err := protect.Unary(incoming(t.Context(), interceptor.KeyHeader, "key"), payment(), info, handle)
		if got, ok := resp.(*pb.SimpleResponse); err != nil || !ok || got.GetUsername() != "paid" {
			t.Errorf("the answer is %v, %v", resp, err)
		}
	}

	if runs != 1 {
		t.Errorf("the handler ran %d times", runs)
	}

	_, err = protect.Unary(incoming(t.Context(), interceptor.KeyHeader, "key"), otherPayment(), info, handle)
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("another request got %v", err)
	}
}

func TestHandlerSeesTheMethodOfItsCall(t *testing.T) {
	w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		method, _ := grpc.Method(ctx)

		return &pb.SimpleResponse{Username: method}, nil
	})

	w.pay(t, "key").mustAnswer(t, unaryCall)
}
