package redisstore_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// follow makes a server a master, or the replica of another server.
func follow(t *testing.T, server, master *redistest.Server) {
	t.Helper()

	host, port := "no", "one"

	if master != nil {
		var err error
		if host, port, err = net.SplitHostPort(master.Addr()); err != nil {
			t.Fatal(err)
		}
	}

	if err := server.Client().Do(t.Context(), "replicaof", host, port).Err(); err != nil {
		t.Fatal(err)
	}
}

// burst makes claims at the same time, so that the client has connections. It returns the number of failed claims.
func burst(t *testing.T, s *redisstore.Store, claims int) (failures int) {
	t.Helper()

	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)

	for range claims {
		wg.Go(func() {
			if _, err := s.Claim(t.Context(), newClaim()); err != nil {
				mu.Lock()
				failures++
				mu.Unlock()
			}
		})
	}

	wg.Wait()

	return failures
}

func TestF90AServerThatWasDemotedBehindOneAddressIsLeft(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		rewrites, secure bool
		opts             []redisstore.Option
	}{
		"READONLY":                          {false, false, nil},
		"ERR READONLY":                      {true, false, nil},
		"ERR READONLY through TLS":          {true, true, nil},
		"ERR READONLY to many connections":  {true, false, []redisstore.Option{redisstore.WithoutBatching()}},
		"ERR READONLY to many through TLS":  {true, true, []redisstore.Option{redisstore.WithoutBatching()}},
		"READONLY to many connections":      {false, false, []redisstore.Option{redisstore.WithoutBatching()}},
		"READONLY to many through with TLS": {false, true, []redisstore.Option{redisstore.WithoutBatching()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			first, second := redistest.Standalone(t), redistest.Standalone(t)
			address := newGateway(t, first.Addr(), tt.secure)
			address.rewrite(tt.rewrites)

			// The oldest of many connections are in use as well.
			s := open(t, address.url("&pool_fifo=true"), append(tt.opts, redisstore.WithoutCheck())...)

			if n := burst(t, s, 40); n > 0 {
				t.Fatalf("%d claims failed before anything happened", n)
			}

			follow(t, first, second)
			address.lead(second.Addr())

			// A dial that began before the failover may yield a connection to the demoted server later.
			const claims = 12

			eventually(t, "claims in a row work", func() bool {
				for range claims {
					if _, err := s.Claim(t.Context(), newClaim()); err != nil {
						return false
					}
				}

				return true
			})

			if n := second.Client().DBSize(t.Context()).Val(); n < claims {
				t.Errorf("the new master has %d records", n)
			}
		})
	}
}

// The demoted server has not followed the new master yet, and the address leads to it still.
func TestF90AReplicaDoesNotReportAnUnknownOutcome(t *testing.T) {
	t.Parallel()

	first, second, away := redistest.Standalone(t), redistest.Standalone(t), redistest.Standalone(t)
	address := newGateway(t, first.Addr(), false)
	s := open(t, address.url(""), redisstore.WithoutCheck())
	engine := func(s *redisstore.Store) *onlyonce.Engine {
		return newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtMostOnce}))
	}
	e, elsewhere := engine(s), engine(open(t, second.URL(), redisstore.WithoutCheck()))

	if _, err := e.Do(t.Context(), callOf("7 EUR"), func(context.Context) ([]byte, error) {
		return nil, errors.New("the bank does not answer")
	}); err == nil {
		t.Fatal("the first run has no error")
	}

	never := func() { t.Error("the handler runs again") }
	if got := call(t, e, "7 EUR", never); got != string(onlyonce.ReasonOutcomeUnknown) {
		t.Fatalf("before the failover: %s", got)
	}

	// The failover has lost the run, and the call has run elsewhere.
	if got := call(t, elsewhere, "7 EUR", func() {}); got != "executed" {
		t.Fatalf("on the new master: %s", got)
	}

	away.Pause()
	follow(t, first, away)

	if got := call(t, e, "7 EUR", never); got != string(onlyonce.ReasonStoreUnavailable) {
		t.Errorf("on the demoted server: %s", got)
	}

	address.lead(second.Addr())
	eventually(t, "the outcome is replayed", func() bool { return call(t, e, "7 EUR", never) == "replayed" })
}

// mustTryFew checks how many connections were used after they had died, and how many claims failed. One dead connection
// to each server shows that the others are dead. A failed claim tries up to three connections, and a slow machine adds
// failures, so failures alone prove little.
func mustTryFew(t *testing.T, tried int64, failures, died int) {
	t.Helper()

	if tried > int64(died/6) || failures > died/2 {
		t.Errorf("%d connections have died, %d of them were tried, and %d claims have failed", died, tried, failures)
	}
}

func TestF91ConnectionsThatDieInSilenceCostAFewFailures(t *testing.T) {
	t.Parallel()

	const (
		claims = 40
		least  = 10
	)

	server := redistest.Standalone(t)
	options := func(address *gateway) *redis.Options { return &redis.Options{Addr: address.addr()} }

	for name, connect := range map[string]func(t *testing.T, address *gateway) *redisstore.Store{
		"Open": func(t *testing.T, address *gateway) *redisstore.Store {
			t.Helper()

			return open(t, address.url("&read_timeout=3s"), redisstore.WithTimeout(silent), redisstore.WithoutBatching(),
				redisstore.WithoutCheck(), unindexed)
		},
		"New with the options of Open": func(t *testing.T, address *gateway) *redisstore.Store {
			t.Helper()

			client := redis.NewClient(redisstore.SetOptions(options(address)))

			return with(t, client, redisstore.WithTimeout(silent), redisstore.WithoutBatching(), redisstore.WithoutCheck(), unindexed)
		},
		"New with the options of Open, for a dialer of its own": func(t *testing.T, address *gateway) *redisstore.Store {
			t.Helper()

			o := options(address)
			o.Dialer = new(net.Dialer).DialContext

			client := redis.NewClient(redisstore.SetOptions(o))

			return with(t, client, redisstore.WithTimeout(silent), redisstore.WithoutBatching(), redisstore.WithoutCheck(), unindexed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			address := newGateway(t, server.Addr(), false)
			s := connect(t, address)

			eventually(t, "there are connections", func() bool {
				burst(t, s, claims)

				return address.open() >= least
			})

			died := address.open()
			address.forget()

			failures := 0

			for range claims {
				if _, err := s.Claim(t.Context(), newClaim()); err != nil {
					failures++
				}
			}

			mustTryFew(t, address.tried.Load(), failures, died)
		})
	}
}
