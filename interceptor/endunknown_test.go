package interceptor_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// endless does not know when its records ended.
type endless struct{ *memstore.Store }

func (s endless) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	res, err := s.Store.Claim(ctx, op)
	if res.Record.State == store.Completed {
		res.Record.EndedAt = time.Time{}
	}

	return res, err
}

func TestReplayOfARunWhoseEndIsNotKnownHasNoTimeAndIsOtherwiseTheSame(t *testing.T) {
	for name, handle := range map[string]handlerFunc{
		"a response": answering("paid"),
		"a response with metadata": func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			_ = grpc.SetTrailer(ctx, metadata.Pairs("x", "1"))

			return answering("paid")(ctx, req)
		},
		"an error": func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			return nil, status.Error(codes.NotFound, "no such account")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{store: endless{memstore.New()}}, handle)

			first, again := w.pay(t, "key"), w.pay(t, "key")

			if got := again.trailer.Get(interceptor.ExecutedAtTrailer); len(got) != 0 {
				t.Errorf("the trailer %s is %q, want none", interceptor.ExecutedAtTrailer, got)
			}

			if got := again.trailer.Get(interceptor.StatusTrailer); len(got) != 1 || got[0] != "replayed" {
				t.Errorf("the status is %q", got)
			}

			if status.Code(first.err) != status.Code(again.err) || first.resp.GetUsername() != again.resp.GetUsername() {
				t.Errorf("got %v, %v, want %v, %v", again.resp, again.err, first.resp, first.err)
			}
		})
	}
}
