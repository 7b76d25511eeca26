package interceptor_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// overtakenStore calls overtake before the second transaction begins, when the first one was rolled back.
type overtakenStore struct {
	*txstore.Store

	overtake func()
}

func (s *overtakenStore) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Transactional = s

	return can
}

func (s *overtakenStore) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	if s.Begun() == 1 {
		s.overtake()
	}

	return s.Store.Begin(ctx, op, wait)
}

// spoil is a handler whose run changes its request and conflicts.
func spoil(_ context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	req.Payload.Body[0] = 'X'
	req.Payload = nil

	return nil, txstore.ErrConflict
}

func mustBeAsReceived(t *testing.T, who string, req any) {
	t.Helper()

	if msg, ok := req.(proto.Message); !ok || !proto.Equal(msg, payment()) {
		t.Errorf("%s was called with %v, want the request as it was received", who, req)
	}
}

func TestF83_TheReplayCheckSeesTheRequestAsItWasReceivedAfterARunHasChangedIt(t *testing.T) {
	db := &overtakenStore{Store: txstore.New()}
	other := start(t, setup{store: db.Store}, answering("paid by another server"))
	db.overtake = func() { other.pay(t, "key").mustHaveStatus(t, onlyonce.StatusExecuted) }

	checks := 0
	made := exactly(onlyonce.SingleTransaction)
	made.store = db
	made.server = append(made.server, interceptor.WithReplayCheck(func(_ context.Context, req any) error {
		checks++

		mustBeAsReceived(t, "the replay check", req)

		return nil
	}))

	w := start(t, made, spoil)
	w.pay(t, "key").mustAnswer(t, "paid by another server")
	w.mustHaveRun(t, 1)

	if checks != 1 {
		t.Errorf("the replay check was called %d times, want once", checks)
	}
}

func TestF83_TheRecoveryFunctionSeesTheRequestAsItWasReceivedAfterARunHasChangedIt(t *testing.T) {
	db := &overtakenStore{Store: txstore.New()}
	other := start(t, setup{store: db.Store}, failing(status.Error(codes.Internal, "oops")))
	db.overtake = func() { other.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnknown) }

	made := exactly(onlyonce.SingleTransaction)
	made.store = db
	made.server = append(made.server, interceptor.WithPolicy(interceptor.Policy{
		Recover: func(_ context.Context, req proto.Message, _ onlyonce.Record) (onlyonce.Finding, error) {
			mustBeAsReceived(t, "the recovery function", req)

			return interceptor.FindingOf(&pb.SimpleResponse{Username: "found"}, nil)
		},
	}))

	w := start(t, made, spoil)
	w.pay(t, "key").mustAnswer(t, "found")
	w.mustHaveRun(t, 1)
}

func TestF83_GoroutinesOfARunThatWasRolledBackWriteIntoNoOtherRun(t *testing.T) {
	var (
		late     sync.WaitGroup
		runs     int
		again    = make(chan struct{})
		finished = make(chan struct{})
	)

	w := start(t, exactly(onlyonce.SingleTransaction), func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		runs++

		if runs == 1 {
			late.Go(func() {
				<-again

				for i := range 100 {
					_ = grpc.SetHeader(ctx, metadata.Pairs("x-late", strconv.Itoa(i)))
					_ = grpc.SetTrailer(ctx, metadata.Pairs("x-late", strconv.Itoa(i)))
				}

				close(finished)

				_ = grpc.SendHeader(ctx, metadata.Pairs("x-late", "sent"))
			})

			return nil, txstore.ErrConflict
		}

		close(again)

		_ = grpc.SetHeader(ctx, metadata.Pairs("x", "2"))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x", "2"))

		<-finished

		return &pb.SimpleResponse{Username: "paid"}, nil
	})

	first := w.pay(t, "key")
	late.Wait()
	first.mustAnswer(t, "paid")

	for what, md := range map[string]metadata.MD{"header": first.header, "trailer": first.trailer} {
		if own := ownMetadata(md); len(own) != 1 || len(own.Get("x")) != 1 {
			t.Errorf("the %s is %v, want that of the second run alone", what, own)
		}
	}

	w.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, w))
}
