//go:build unix

package crash

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
)

// One caller floods a process with fresh keys. Other callers do not notice, and nothing of it remains in the process.
func TestF45KeyFloodFromOneCaller(t *testing.T) {
	const (
		flooders = 300
		// A store sends its next batch while it reads the answers of the last. Its pool opens a few more connections,
		// because others ask for one before it is returned.
		connections = 8
	)

	keys := *flood
	server := redistest.Standalone(t)

	// A connection that is given up on costs another one.
	records, err := openRedis(server.URL()+"?dial_timeout=2m&read_timeout=2m&write_timeout=2m", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()

	engine, err := onlyonce.New(records, onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: patience}))
	if err != nil {
		t.Fatal(err)
	}

	var runs atomic.Int64

	pay := func(scope, key string) error {
		call := onlyonce.Call{Scope: scope, Method: "pay", Key: key, Request: []byte(key)}

		got, err := engine.Do(t.Context(), call, func(context.Context) ([]byte, error) {
			runs.Add(1)

			return []byte(scope + " has paid " + key), nil
		})
		if err == nil && (got.Status != onlyonce.StatusExecuted || string(got.Body) != scope+" has paid "+key) {
			err = fmt.Errorf("%s was answered %s, %q", key, got.Status, got.Body)
		}

		return err
	}

	before, connected := heap(), connectionsOf(t, server)

	var (
		crowd, other sync.WaitGroup
		next, failed atomic.Int64
		others       int
	)

	flooded := make(chan struct{})

	for range flooders {
		crowd.Go(func() {
			for n := next.Add(1); n <= int64(keys); n = next.Add(1) {
				if err := pay("flooder", strconv.FormatInt(n, 10)); err != nil && failed.Add(1) == 1 {
					t.Error(err)
				}
			}
		})
	}

	other.Go(func() {
		for {
			select {
			case <-flooded:
				return
			default:
			}

			if err := pay("another", strconv.Itoa(others)); err != nil {
				t.Errorf("somebody else: %v", err)

				return
			}

			others++
		}
	})

	crowd.Wait()
	close(flooded)
	other.Wait()

	if n := failed.Load(); n > 0 {
		t.Errorf("%d calls failed", n)
	}

	if n := runs.Load(); n != int64(keys+others) {
		t.Errorf("%d runs for %d keys", n, keys+others)
	}

	if others < 10 {
		t.Errorf("somebody else was served %d times", others)
	}

	if n := connectionsOf(t, server) - connected; n > connections {
		t.Errorf("the flood took %d more connections, want %d at most", n, connections)
	}

	if n := server.Client().DBSize(t.Context()).Val(); n < int64(keys) {
		t.Errorf("%d records", n)
	}

	grown := heap() - before

	t.Logf("%d keys, somebody else was served %d times; the heap has grown by %d kB", keys, others, grown>>10)

	if grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

// heap returns how much is in use when all that can be has been collected.
func heap() int64 {
	var stats runtime.MemStats

	runtime.GC()
	runtime.GC() // collects what pools kept during the first collection
	runtime.ReadMemStats(&stats)

	return int64(stats.HeapAlloc)
}

// connectionsOf returns how many connections a server has ever accepted.
func connectionsOf(t *testing.T, server *redistest.Server) int {
	t.Helper()

	stats, err := server.Client().InfoMap(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}

	n, err := strconv.Atoi(stats["Stats"]["total_connections_received"])
	if err != nil {
		t.Fatal(err)
	}

	return n
}
