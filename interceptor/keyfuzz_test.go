package interceptor_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// contractKey reports whether the contract allows a key: 1 to 255 printable ASCII characters without the space.
func contractKey(key string) bool {
	outside := func(r rune) bool { return r <= ' ' || r >= 0x7f }

	return key != "" && len(key) < 256 && !strings.ContainsFunc(key, outside)
}

func FuzzIncomingKeys(f *testing.F) {
	f.Add("key", "", false)
	f.Add("", "", false)
	f.Add("two words", "", false)
	f.Add("zero\x00byte", "", false)
	f.Add("caf\xc3\xa9", "", false)
	f.Add("\xff\xfe", "", false)
	f.Add("\x7f", "", false)
	f.Add("!~", "", false)
	f.Add(strings.Repeat("k", 255), "", false)
	f.Add(strings.Repeat("k", 256), "", false)
	f.Add("one", "one", true)
	f.Add("one", "", true)

	f.Fuzz(func(t *testing.T, key, other string, two bool) {
		faults := newFaultStore()

		e, err := onlyonce.New(faults)
		if err != nil {
			t.Fatal(err)
		}

		protect, err := interceptor.NewServer(e, interceptor.ScopeShared())
		if err != nil {
			t.Fatal(err)
		}

		var (
			runs int64
			run  onlyonce.Run
		)

		keys := []string{key}
		if two {
			keys = append(keys, other)
		}

		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{interceptor.KeyHeader: keys})
		call := func() answer {
			_, err := protect.Unary(ctx, payment(), &grpc.UnaryServerInfo{FullMethod: unaryCall}, func(ctx context.Context, _ any) (any, error) {
				runs++
				run, _ = onlyonce.RunFromContext(ctx)

				return &pb.SimpleResponse{}, nil
			})

			return answer{err: err}
		}

		first, again := call(), call()

		if len(keys) == 1 && contractKey(key) {
			if first.err != nil || again.err != nil || runs != 1 || run.Key != key {
				t.Errorf("%q ran %d times, as %q: %v, %v", key, runs, run.Key, first.err, again.err)
			}

			return
		}

		for _, a := range []answer{first, again} {
			if info := a.info(t); info.GetReason() != "IDEMPOTENCY_KEY_INVALID" || info.GetDomain() != "onlyonce" {
				t.Errorf("%q got %v", keys, a.err)
			}
		}

		if claims := faults.claims.Load(); claims != 0 || runs != 0 {
			t.Errorf("%q reached the store %d times and ran %d times", keys, claims, runs)
		}
	})
}
