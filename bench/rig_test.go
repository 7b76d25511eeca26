package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// rigs returns the rigs with records in memory and in Redis. They end with the test.
func rigs(t *testing.T) map[*rig][]protection {
	t.Helper()

	installed := installedRedis()
	all := map[*rig][]protection{{ctx: t.Context()}: inMemory(), {ctx: t.Context(), program: &installed}: inRedis()}

	t.Cleanup(func() {
		for r := range all {
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		}
	})

	return all
}

// Every round counts the runs of the handler.
func TestVariantsRunFirstCallsAndReplayOthers(t *testing.T) {
	const callers, calls = 4, 8

	for r, protections := range rigs(t) {
		for _, v := range r.variants(protections, calls) {
			got, err := (&contest{callers: callers, calls: calls}).round(t.Context(), &v)
			if err != nil {
				t.Errorf("%s: %v", v.name(), err)
			}

			if got.latency <= 0 || got.cpu < 0 || got.redisCPU < 0 {
				t.Errorf("%s: latency %v, CPU %v and %v", v.name(), got.latency, got.cpu, got.redisCPU)
			}
		}
	}
}

func TestProtectedServersRunADuplicateOnce(t *testing.T) {
	const duplicates = 16

	for r, protections := range rigs(t) {
		for _, p := range protections {
			if slices.Contains(p.kinds, anyCall) {
				continue
			}

			callers := duplicates
			if p.name == byTextbook {
				callers = 1 // because at the same time it may run some twice
			}

			if err := r.open(p.name); err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}

			if err := r.forget(p.name); err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}

			_, err := measure(callers, duplicates, func(int) error {
				err := r.call(p.name, newKey(1))
				if p.name == byLeast && status.Code(err) == codes.Aborted { // the first one still runs
					return nil
				}

				return err
			})
			if err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}

			if got, _, err := r.usage(p.name, (*serverProcess).usage); err != nil || got.Runs != 1 {
				t.Errorf("%s: the handler has run %d times, %v", p.name, got.Runs, err)
			}
		}
	}
}

// A bare server would collect several times as often as a server with records.
func TestAllServersCarryTheSameBallast(t *testing.T) {
	const others = 16 << 20 // other memory of a server

	for r, protections := range rigs(t) {
		for _, p := range protections {
			if err := r.open(p.name); err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}

			if got, _, err := r.usage(p.name, (*serverProcess).usage); err != nil || got.Live < ballastSize || got.Live > ballastSize+others {
				t.Errorf("%s: %d bytes are live, %v", p.name, got.Live, err)
			}
		}
	}
}

func TestWeighRedis(t *testing.T) {
	const size = 2_000

	var hidden, readable weight

	for kind, w := range map[*weight]recordKind{&hidden: {}, &readable: {method: unaryCall, keys: true}} {
		var err error
		if *kind, err = weighRedis(t.Context(), size, w); err != nil {
			t.Fatal(err)
		}
	}

	if hidden.entry < 100 || hidden.entry >= hidden.whole || hidden.entry >= readable.entry {
		t.Errorf("hidden %+v, readable %+v", hidden, readable)
	}
}

func TestRedisServerEndsWithStop(t *testing.T) {
	server, err := startRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	server.stop()

	if _, err := os.Stat(server.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder is still there: %v", err)
	}

	if server.cmd.ProcessState == nil {
		t.Error("its process is still there")
	}
}

func TestMissingRedisServerIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())

	if _, err := startRedis(t.Context()); err == nil || !strings.Contains(err.Error(), "install") {
		t.Errorf("%v does not say what to install", err)
	}
}
