//go:build unix

package crash

import (
	"net/rpc"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/crash/remotestore"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// keeper is who keeps the records that the servers share.
type keeper string

const (
	embedded keeper = "an embedded store" // in the test process, which serves it to the servers
	inRedis  keeper = "redis"             // a process of its own, which each server connects to
)

// keepers lists the stores. The result of a killed process must not depend on the store.
func keepers() []keeper { return []keeper{embedded, inRedis} }

// kept is a store as the test process has it.
type kept struct {
	records remotestore.Backend
	redis   string // where servers find it, if not in the test process
}

func (k keeper) open(t *testing.T) kept {
	t.Helper()

	if k == embedded {
		return kept{records: memstore.New()}
	}

	url := redistest.Standalone(t).URL()

	return keepIn(t, url, url)
}

// keepIn keeps records in a Redis that exists. Servers may be given another way to it than the test process.
func keepIn(t *testing.T, url, forServers string) kept {
	t.Helper()

	records, err := openRedis(url, patience)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { records.Close() })

	return kept{records: records, redis: forServers}
}

func openRedis(url string, timeout time.Duration) (*redisstore.Store, error) {
	return redisstore.Open(url, redisstore.WithTimeout(timeout))
}

// backend is a store as a server has it.
type backend interface {
	remotestore.Backend
	Close() error
}

// openShared opens the store that a server shares with the others.
func openShared(config *serverConfig, world *rpc.Client) (backend, error) {
	if config.Redis != "" {
		return openRedis(config.Redis, config.storeTimeout())
	}

	return served{remotestore.New(world, patience)}, nil
}

// served is the store of the test process. Its creator closes the connection.
type served struct{ *remotestore.Client }

// Close does nothing.
func (served) Close() error { return nil }
