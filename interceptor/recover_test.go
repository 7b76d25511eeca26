package interceptor_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF04_RecoveryAnswersForARunThatEndedUnknown(t *testing.T) {
	for name, found := range map[string]struct {
		recover interceptor.RecoverFunc
		code    codes.Code
		user    string
	}{
		"it happened, with a response": {func(_ context.Context, req proto.Message, rec onlyonce.Record) (onlyonce.Finding, error) {
			asked, ok := req.(*pb.SimpleRequest)
			if !ok || !proto.Equal(asked, payment()) || rec.Code != "UNAVAILABLE" {
				t.Errorf("the recovery function sees %v and %q", req, rec.Code)
			}

			return interceptor.FindingOf(&pb.SimpleResponse{Username: "found"}, nil)
		}, codes.OK, "found"},
		"it happened, with an error": {func(context.Context, proto.Message, onlyonce.Record) (onlyonce.Finding, error) {
			return interceptor.FindingOf(nil, status.Error(codes.NotFound, "no such account"))
		}, codes.NotFound, ""},
		"it cannot be told": {func(context.Context, proto.Message, onlyonce.Record) (onlyonce.Finding, error) {
			return onlyonce.StillUnknown(), nil
		}, codes.Unknown, ""},
		"it returns nothing that can be sent": {func(context.Context, proto.Message, onlyonce.Record) (onlyonce.Finding, error) {
			return interceptor.FindingOf(nil, nil)
		}, codes.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{server: keyPolicy(interceptor.Policy{Recover: found.recover})},
				failing(status.Error(codes.Unavailable, "the provider does not answer")))

			if code := status.Code(w.call(withKey(t.Context(), "key"), payment()).err); code != codes.Unavailable {
				t.Fatalf("the first call ended with %v, want UNAVAILABLE", code)
			}

			client := pb.NewTestServiceClient(w.conn)

			for range 2 {
				resp, err := client.UnaryCall(withKey(t.Context(), "key"), payment())
				if status.Code(err) != found.code || resp.GetUsername() != found.user {
					t.Errorf("got %v, %v; want %v %q", resp, err, found.code, found.user)
				}
			}

			w.mustHaveRun(t, 1)
		})
	}
}

// blind is a store that can do no more than it must.
type blind struct{ store.Store }

func (blind) Capabilities() store.Capabilities { return store.Capabilities{} }

func TestRecoveryIsRefusedOnAStoreThatCannotSettle(t *testing.T) {
	engine, err := onlyonce.New(blind{memstore.New()})
	if err != nil {
		t.Fatal(err)
	}

	_, err = interceptor.NewServer(engine, interceptor.ScopeShared(), interceptor.WithMethodPolicy(unaryCall, interceptor.Policy{
		Recover: func(context.Context, proto.Message, onlyonce.Record) (onlyonce.Finding, error) {
			return onlyonce.StillUnknown(), nil
		},
	}))
	if err == nil || !strings.Contains(err.Error(), unaryCall) || !strings.Contains(err.Error(), "Recover") {
		t.Errorf("NewServer: %v, want an error that names the method and Recover", err)
	}
}
