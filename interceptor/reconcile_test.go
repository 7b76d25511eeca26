package interceptor_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestF03RecoveryWithoutACallHasTheRequestThatTheRecordKeeps(t *testing.T) {
	for name, tt := range map[string]struct {
		keep int
		kept bool
	}{
		"none is kept":           {0, false},
		"it is kept":             {1_000, true},
		"it is larger than kept": {1, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			recovers := func(_ context.Context, req proto.Message, rec onlyonce.Record) (onlyonce.Finding, error) {
				asked++

				if msg, ok := req.(*pb.SimpleRequest); ok != tt.kept || ok && !proto.Equal(msg, payment()) || rec.Code != "UNAVAILABLE" {
					t.Errorf("the recovery function sees %v and %q", req, rec.Code)
				}

				return interceptor.FindingOf(&pb.SimpleResponse{Username: "found"}, nil)
			}
			policy := interceptor.Policy{Recover: recovers, Policy: onlyonce.Policy{KeepRequest: tt.keep}}
			w := start(t, setup{server: keyPolicy(policy)}, failing(status.Error(codes.Unavailable, "the provider does not answer")))

			_ = w.call(withKey(t.Context(), "key"), payment())

			for rec, err := range w.engine.ListUnknown(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}

				if _, err := w.engine.Recover(t.Context(), rec); err != nil {
					t.Errorf("Recover: %v", err)
				}
			}

			if asked != 1 {
				t.Errorf("the recovery function was called %d times", asked)
			}

			resp, err := pb.NewTestServiceClient(w.conn).UnaryCall(withKey(t.Context(), "key"), payment())
			if err != nil || resp.GetUsername() != "found" {
				t.Errorf("got %v, %v", resp, err)
			}

			w.mustHaveRun(t, 1)
		})
	}
}
