package redisstore_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// diagnosed are the checks of a severity that a doctor finds.
func diagnosed(t *testing.T, s *redisstore.Store, severity store.Severity) (checks []string) {
	t.Helper()

	for _, d := range s.Diagnose(t.Context()) {
		if d.Severity == severity {
			checks = append(checks, d.Check)
		}

		if d.Found == "" || severity != store.SeverityOK && d.Severity == severity && d.Where == "" {
			t.Errorf("a diagnosis says too little: %+v", d)
		}
	}

	slices.Sort(checks)

	return slices.Compact(checks)
}

func mustDiagnose(t *testing.T, s *redisstore.Store, severity store.Severity, want ...string) {
	t.Helper()

	if got := diagnosed(t, s, severity); !slices.Equal(got, want) {
		t.Errorf("%v: got %q, want %q", severity, got, want)
	}
}

// unchecked is a store that Open does not examine.
func unchecked(t *testing.T, url string) *redisstore.Store {
	t.Helper()

	return open(t, url, redisstore.WithoutCheck())
}

func TestDiagnoseOfASoundServerIsFit(t *testing.T) {
	t.Parallel()

	s := unchecked(t, fake(t, sound()...))
	mustDiagnose(t, s, store.SeverityFail)
	mustDiagnose(t, s, store.SeverityWarn)
}

func TestDiagnoseNamesEachProblemOfAServer(t *testing.T) {
	t.Parallel()

	for line, check := range map[string]string{
		"redis_version:6.2.14":         "version",
		"role:slave":                   "role",
		"maxmemory_policy:allkeys-lru": "eviction",
		"cluster_enabled:1":            "cluster",
	} {
		mustDiagnose(t, unchecked(t, fake(t, but(line)...)), store.SeverityFail, check)
	}

	for line, check := range map[string]string{"maxmemory:0": "memory", "aof_enabled:0": "persistence", "connected_slaves:0": "replication"} {
		mustDiagnose(t, unchecked(t, fake(t, but(line)...)), store.SeverityWarn, check)
	}
}

func TestDiagnoseFindsRefusedWrites(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	mustDiagnose(t, s, store.SeverityFail)

	for _, config := range [][]string{{"min-replicas-to-write", "1"}, {"min-replicas-to-write", "0"}} {
		if err := server.Client().ConfigSet(t.Context(), config[0], config[1]).Err(); err != nil {
			t.Fatal(err)
		}

		if refused := slices.Contains(diagnosed(t, s, store.SeverityFail), "writes"); refused != (config[1] == "1") {
			t.Errorf("%s: writes are refused: %t", config, refused)
		}
	}
}

func TestDiagnoseOfAServerThatIsDownIsTheConnection(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	server.Kill()

	mustDiagnose(t, s, store.SeverityFail, "connection")
}

func TestDiagnoseVisitsEveryMasterOfACluster(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)
	s := open(t, clusterURL(cluster))
	sick := cluster.Nodes()[1]

	if err := sick.Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}

	var masters, failed []string

	for _, d := range s.Diagnose(t.Context()) {
		switch {
		case d.Check == "role":
			masters = append(masters, d.Where)
		case d.Severity == store.SeverityFail:
			failed = append(failed, d.Where+" "+d.Check)
		}
	}

	if len(masters) != 3 || !slices.IsSorted(masters) {
		t.Errorf("the masters are %q", masters)
	}

	if want := []string{sick.Addr() + " eviction"}; !slices.Equal(failed, want) {
		t.Errorf("got %q, want %q", failed, want)
	}
}

func TestDiagnoseWarnsOfAClientWithoutDeadlines(t *testing.T) {
	t.Parallel()

	client := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(fake(t, sound()...), "redis://"), Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })

	s, err := redisstore.New(client, redisstore.WithoutCheck())
	if err != nil {
		t.Fatal(err)
	}

	mustDiagnose(t, s, store.SeverityWarn, "connections", "deadlines")
}
