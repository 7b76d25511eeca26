package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// newRig is a rig that ends with the test.
func newRig(t *testing.T) *redisRig {
	t.Helper()

	rig := &redisRig{ctx: t.Context(), program: installedRedis()}

	t.Cleanup(func() {
		if err := rig.stop(); err != nil {
			t.Error(err)
		}
	})

	if err := rig.open(); err != nil {
		t.Fatal(err)
	}

	return rig
}

// Every round counts the runs of the handler.
func TestRedisVariantsRunFirstCallsAndReplayOthers(t *testing.T) {
	const callers, calls = 4, 8

	rig := newRig(t)

	for _, v := range rig.variants(calls) {
		call, err := v.start()
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}

		got, err := measure(callers, calls, call)
		if err == nil {
			err = v.finish(&got)
		}

		if err != nil {
			t.Errorf("%s: %v", v.name, err)
		}

		if got.latency <= 0 || got.cpu < 0 || got.redisCPU < 0 {
			t.Errorf("%s: latency %v, CPU %v and %v", v.name, got.latency, got.cpu, got.redisCPU)
		}
	}
}

func TestProtectedServersRunADuplicateOnce(t *testing.T) {
	const duplicates = 16

	rig := newRig(t)

	for server := range rig.clients {
		if server == onlyGRPC {
			continue
		}

		callers := duplicates
		if server == byTextbook {
			callers = 1 // because at the same time it may run some twice
		}

		before, err := rig.servers.usage()
		if err != nil {
			t.Fatal(err)
		}

		if err := rig.redis.client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}

		if _, err := measure(callers, duplicates, func(int) error { return rig.call(server, newKey(1)) }); err != nil {
			t.Fatalf("%s: %v", server, err)
		}

		after, err := rig.servers.usage()
		if err != nil {
			t.Fatal(err)
		}

		if ran := after.Runs - before.Runs; ran != 1 {
			t.Errorf("%s: the handler has run %d times", server, ran)
		}
	}
}

func TestRedisColumnsCompareWithTextbookTwoScriptsAndGRPC(t *testing.T) {
	t.Parallel()

	bare := []sample{{nanos: 10_000, latency: 50_000, cpu: 20_000}}
	textbook := []sample{{nanos: 100_000, latency: 400_000, cpu: 80_000, redisCPU: 20_000}}
	scripts := []sample{{nanos: 50_000, latency: 300_000, cpu: 40_000}}
	own := []sample{{nanos: 40_000, latency: 200_000, cpu: 35_000, redisCPU: 7_000}}
	want := []string{"200.0 µs", "0.50", "25000", "2.50", "1.25", "35.0 µs", "15.0 µs", "0.25", "7.0 µs", "0.35"}

	if got := redisColumns(own, textbook, scripts, bare); !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}

	if got := redisColumns(bare, bare, bare, bare); got[7] != "-" {
		t.Errorf("nothing over nothing is %q", got[6])
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
