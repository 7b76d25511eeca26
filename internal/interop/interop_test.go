package interop_test

import (
	"context"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/orca"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The baseline is in the same run: a case that fails without the kit says nothing about the kit.
func TestInteroperabilityCasesPassThroughBothInterceptorsAsWithoutThem(t *testing.T) {
	passing := slices.DeleteFunc(slices.Sorted(maps.Keys(cases(nil, "", nil))), func(name string) bool { return name == needsServerID })

	for _, m := range []mode{withoutKit, unkeyed, keyed} {
		t.Run(string(m), func(t *testing.T) {
			addr, executed := serve(t, m)

			if out, err := runInProcess(t.Context(), passing, addr, m); err != nil {
				t.Errorf("the last of these cases fails: %v\n%s", err, out)
			}

			if out, err := runInProcess(t.Context(), []string{needsServerID}, addr, m); err == nil {
				t.Errorf("a case passes that needs the name of the server:\n%s", out)
			}

			if n := executed.Load(); (n > 0) != (m == keyed) {
				t.Errorf("%d calls with a key have been executed", n)
			}
		})
	}
}

// serve starts a server, and counts the calls that it executes under a key.
func serve(t *testing.T, m mode) (addr string, executed *atomic.Int64) {
	t.Helper()

	executed = new(atomic.Int64)
	opts := []grpc.ServerOption{orca.CallMetricsServerOption(nil)}

	if m != withoutKit {
		engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(onlyonce.ObserverFunc(func(_ context.Context, event onlyonce.Event) {
			if event.Status == onlyonce.StatusExecuted {
				executed.Add(1)
			}
		})))
		if err != nil {
			t.Fatal(err)
		}

		protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
		if err != nil {
			t.Fatal(err)
		}

		opts = append(opts, protect.ServerOptions()...)
	}

	s := grpc.NewServer(opts...)
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	served := make(chan error, 1)

	go func() { served <- s.Serve(listener) }()

	t.Cleanup(func() {
		s.Stop()

		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	return listener.Addr().String(), executed
}

// runInProcess runs cases in a process of their own, because a case that fails ends the process.
func runInProcess(ctx context.Context, names []string, addr string, m mode) (string, error) {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), casesEnv+"="+strings.Join(names, ","), addrEnv+"="+addr, modeEnv+"="+string(m))

	out, err := cmd.CombinedOutput()

	return string(out), err
}
