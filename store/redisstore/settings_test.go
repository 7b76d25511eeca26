package redisstore_test

import (
	"cmp"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// mortals are the connections of a client, which can die in silence.
type mortals struct {
	mu    sync.Mutex
	conns []*mortal

	tried atomic.Int64 // connections that were used after they had died
}

type mortal struct {
	net.Conn

	dead atomic.Bool
	try  func() // is called when something is sent after it has died
}

// Dial makes a connection.
func (m *mortals) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	one := &mortal{Conn: conn, try: sync.OnceFunc(func() { m.tried.Add(1) })}
	m.conns = append(m.conns, one)

	return one, nil
}

// die kills all connections so far. Bytes sent on them are lost.
func (m *mortals) die() {
	m.mu.Lock()
	defer m.mu.Unlock()

	for _, conn := range m.conns {
		conn.dead.Store(true)
	}
}

func (m *mortals) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()

	return len(m.conns)
}

func (m *mortal) Write(b []byte) (int, error) {
	if m.dead.Load() {
		m.try()

		return len(b), nil
	}

	return m.Conn.Write(b)
}

// F91: connections that die in silence.
func TestF91ConnectionsThatDieInSilenceCostAFewFailuresForEveryServer(t *testing.T) {
	t.Parallel()

	const (
		claims = 60
		least  = 10
	)

	for name, tt := range map[string]struct {
		connect func(t *testing.T, dialer *mortals) redis.UniversalClient
		servers int
	}{
		"one server": {func(t *testing.T, dialer *mortals) redis.UniversalClient {
			t.Helper()

			return redis.NewClient(redisstore.SetOptions(&redis.Options{Addr: redistest.Standalone(t).Addr(), Dialer: dialer.Dial}))
		}, 1},
		"a cluster": {func(t *testing.T, dialer *mortals) redis.UniversalClient {
			t.Helper()

			return redis.NewClusterClient(redisstore.SetClusterOptions(&redis.ClusterOptions{
				Addrs: redistest.NewCluster(t).Addrs(), Dialer: dialer.Dial,
			}))
		}, 3},
		"Sentinel": {func(t *testing.T, dialer *mortals) redis.UniversalClient {
			t.Helper()

			set := redistest.Sentinels(t)

			return redis.NewFailoverClient(redisstore.SetFailoverOptions(&redis.FailoverOptions{
				MasterName: set.MasterName(), SentinelAddrs: set.SentinelAddrs(), Dialer: dialer.Dial, ReadTimeout: silent,
			}))
		}, 2}, // one to the master, and one to a sentinel
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			dialer := new(mortals)
			s := with(t, tt.connect(t, dialer), redisstore.WithTimeout(silent), redisstore.WithoutBatching(),
				redisstore.WithoutCheck(), unindexed)

			eventually(t, "there are connections", func() bool {
				burst(t, s, claims)

				return dialer.count() >= least*tt.servers
			})

			died := dialer.count()
			dialer.die()

			failures := 0

			for range claims {
				if _, err := s.Claim(t.Context(), newClaim()); err != nil {
					failures++
				}
			}

			mustTryFew(t, dialer.tried.Load(), failures, died)
		})
	}
}

func TestF91SettingsOfTheCallerStay(t *testing.T) {
	t.Parallel()

	single := redisstore.SetOptions(&redis.Options{MaxRetries: -1, ConnMaxLifetime: time.Hour, DialerRetries: 7})
	if single.MaxRetries != -1 || single.ConnMaxLifetime != time.Hour || single.ConnMaxLifetimeJitter != 0 || single.DialerRetries != 7 ||
		!single.ContextTimeoutEnabled || single.Dialer == nil {
		t.Errorf("got %+v", single)
	}

	cluster := redisstore.SetClusterOptions(&redis.ClusterOptions{ClusterStateReloadInterval: time.Minute, MinRetryBackoff: time.Second})
	if cluster.ClusterStateReloadInterval != time.Minute || cluster.MinRetryBackoff != time.Second || cluster.MaxRetries != 2 ||
		cluster.ConnMaxLifetime != 10*time.Minute || !cluster.ContextTimeoutEnabled || cluster.Dialer == nil {
		t.Errorf("got %+v", cluster)
	}

	failover := redisstore.SetFailoverOptions(&redis.FailoverOptions{})
	if failover.MaxRetries != 2 || failover.DialerRetries != 1 || failover.ConnMaxLifetime != 10*time.Minute ||
		!failover.ContextTimeoutEnabled || failover.Dialer == nil {
		t.Errorf("got %+v", failover)
	}
}

func TestF91CheckWarnsAboutAClientWithoutTheSettings(t *testing.T) {
	t.Parallel()

	addr := redistest.Standalone(t).Addr()

	for name, tt := range map[string]struct {
		client *redis.Client
		want   int
	}{
		"defaults":   {redis.NewClient(&redis.Options{Addr: addr}), 2},
		"SetOptions": {redis.NewClient(redisstore.SetOptions(&redis.Options{Addr: addr})), 0},
	} {
		report, err := with(t, tt.client).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		told := 0

		for _, warning := range report.Warnings {
			if strings.HasPrefix(warning, "the client ") {
				told++
			}
		}

		if told != tt.want {
			t.Errorf("%s: %q", name, report.Warnings)
		}
	}
}

func TestAClientThatCachesIsRefused(t *testing.T) {
	t.Parallel()

	client := redis.NewClient(&redis.Options{
		Addr: redistest.Standalone(t).Addr(), Protocol: 3, ClientSideCacheConfig: new(redis.ClientSideCacheConfig),
	})
	defer client.Close()

	if _, err := redisstore.New(client); err == nil || !strings.Contains(err.Error(), "caches") {
		t.Errorf("got %v", err)
	}
}

func TestF91OpenAcceptsAPrivateAuthorityWithEveryScheme(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	address := newGateway(t, server.Addr(), true)
	_, other := privateCertificate(t)
	notPEM := filepath.Join(t.TempDir(), "ca.pem")

	if err := os.WriteFile(notPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct{ name, query, want string }{
		{"its authority", "ca_file=" + address.ca, ""},
		{"no verification", "skip_verify=true", ""},
		{"verification by the system's authorities", "skip_verify=false", "certificate"},
		{"another authority", "ca_file=" + other, "certificate"},
		{"no file", "ca_file=" + notPEM + "x", "no such file"},
		{"no certificate", "ca_file=" + notPEM, "no certificate"},
		{"a wrong value", "skip_verify=perhaps", `option "skip_verify" is unknown, or has a wrong value`},
	} {
		// After the handshake, the server is neither a cluster nor a sentinel.
		for url, behind := range map[string]string{
			"rediss://" + address.addr() + "?":                           "",
			"rediss+cluster://" + address.addr() + "?":                   "cluster support disabled",
			"rediss+sentinel://" + address.addr() + "?master_name=main&": "unknown command",
		} {
			s, err := redisstore.Open(url+"dial_timeout=20s&read_timeout=20s&"+tt.query, redisstore.WithoutCheck())
			if err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				_, err = s.Check(ctx)

				cancel()

				_ = s.Close()
			}

			want := cmp.Or(tt.want, behind)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %s: %v, want %q", tt.name, url, err, want)
			}
		}
	}

	for _, url := range []string{"redis://h?ca_file=x", "redis+cluster://h?skip_verify=true", "redis+sentinel://h?ca_file=x&master_name=m"} {
		if _, err := redisstore.Open(url); err == nil || !strings.Contains(err.Error(), "needs TLS") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
