package interceptor_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestMethodsWithoutSideEffectsGetNoKeyOfTheirOwn(t *testing.T) {
	_ = lookups()

	for method, want := range map[string]bool{lookupGet: false, lookupPut: true, unaryCall: true} {
		dial, err := interceptor.UnaryClientInterceptor(interceptor.WithAllMethods(),
			interceptor.WithAttemptObserver(func(_ context.Context, a interceptor.Attempt) {
				if !want {
					t.Errorf("%s is observed as a keyed call: %+v", method, a)
				}
			}))
		if err != nil {
			t.Fatal(err)
		}

		for range 2 {
			err = dial(t.Context(), method, payment(), new(pb.SimpleResponse), nil,
				func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
					sent, _ := metadata.FromOutgoingContext(ctx)
					if got := len(sent.Get(interceptor.KeyHeader)) == 1; got != want {
						t.Errorf("%s has a key: %v, want %v", method, got, want)
					}

					return nil
				})
			if err != nil {
				t.Errorf("%s: %v", method, err)
			}
		}
	}
}
