package redisstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// fake is a server that replies with a text to INFO, with 1 to EVAL, and with an error to all else.
func fake(t *testing.T, info ...string) string {
	t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	var served sync.WaitGroup

	t.Cleanup(func() {
		_ = listener.Close()
		served.Wait()
	})

	text := strings.Join(info, "\r\n") + "\r\n"

	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			served.Go(func() {
				defer conn.Close()

				for in := bufio.NewReader(conn); ; {
					word, err := command(in)
					if err != nil {
						return
					}

					switch word {
					case "info":
						_, _ = fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(text), text)
					case "eval":
						_, _ = fmt.Fprint(conn, ":1\r\n")
					default:
						_, _ = fmt.Fprint(conn, "-ERR unknown command\r\n")
					}
				}
			})
		}
	})

	return "redis://" + listener.Addr().String()
}

// command reads a command and returns its first word in lower case.
func command(in *bufio.Reader) (word string, err error) {
	var count int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &count); err != nil {
		return "", err
	}

	for i := range count {
		var size int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return "", err
		}

		argument := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(in, argument); err != nil {
			return "", err
		}

		if i == 0 {
			word = strings.ToLower(string(argument[:size]))
		}
	}

	return word, nil
}

// sound is the INFO of a server without problems.
func sound() []string {
	return []string{
		"# Server", "redis_version:7.0.15", "role:master", "maxmemory_policy:noeviction", "maxmemory:1000000", "aof_enabled:1",
		"aof_last_write_status:ok", "rdb_last_save_time:1", "connected_slaves:1", "min_slaves_good_slaves:1", "loading:0",
	}
}

// but is the INFO of such a server with some lines changed.
func but(lines ...string) []string {
	info := sound()

	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		info = append(without(name, info), line)
	}

	return info
}

func without(name string, info []string) []string {
	return slices.DeleteFunc(info, func(line string) bool { return strings.HasPrefix(line, name+":") })
}

func TestCheckAcceptsAndDescribesASoundServer(t *testing.T) {
	t.Parallel()

	s := open(t, fake(t, sound()...))

	report, err := s.Check(t.Context())
	if err != nil || len(report.Warnings) != 0 || !slices.Equal(report.Servers, []string{"server: redis 7.0.15, master"}) {
		t.Errorf("got %+v, %v", report, err)
	}
}

// Valkey has a version of Redis beside its own.
func TestCheckNamesTheProgramAndItsOwnVersion(t *testing.T) {
	t.Parallel()

	s := open(t, fake(t, append(but("redis_version:7.2.4"), "server_name:valkey", "valkey_version:9.1.2")...))

	report, err := s.Check(t.Context())
	if err != nil || !slices.Equal(report.Servers, []string{"server: valkey 9.1.2, master"}) {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestCheckRefusesWhatCannotHoldRecords(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		info []string
		want []string
	}{
		"version":          {but("redis_version:6.2.14"), []string{`"6.2.14"`, "7.0"}},
		"no version":       {but("redis_version:"), []string{"version", "7.0"}},
		"replica":          {but("role:slave"), []string{"replica", "master", "Sentinel"}},
		"eviction":         {but("maxmemory_policy:allkeys-lru"), []string{"allkeys-lru", "noeviction", "WithEviction"}},
		"cluster":          {but("cluster_enabled:1"), []string{"a server of a cluster", "redis.NewClusterClient", "redis+cluster://"}},
		"nothing is shown": {[]string{"# Server"}, []string{"version"}},
		"everything":       {but("redis_version:5", "role:slave", "maxmemory_policy:volatile-ttl"), []string{`"5"`, "replica", "volatile-ttl"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := redisstore.Open(fake(t, tt.info...), redisstore.WithTimeout(generous))
			for _, word := range tt.want {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("the error does not say %s: %v", word, err)
				}
			}
		})
	}
}

func TestCheckAcceptsNewerVersions(t *testing.T) {
	t.Parallel()

	for _, version := range []string{"7.0.0", "8.4.1", "10.0.0"} {
		open(t, fake(t, but("redis_version:"+version)...))
	}
}

func TestCheckWarnsOfWhatWeakensTheStore(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		info []string
		want string
	}{
		"no append-only file":      {but("aof_enabled:0"), "the append-only file is off"},
		"persistence is not shown": {without("rdb_last_save_time", but("aof_enabled:0")), "persistence is unknown"},
		"the file is not written":  {but("aof_last_write_status:err"), "cannot be written"},
		"no replica":               {but("connected_slaves:0"), "no replica"},
		"replicas are not awaited": {without("min_slaves_good_slaves", sound()), "min-replicas-to-write"},
		"no bound of memory":       {but("maxmemory:0"), "maxmemory is not set"},
		"loading":                  {but("loading:1"), "loading"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := open(t, fake(t, tt.info...))

			report, err := s.Check(t.Context())
			if err != nil || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], tt.want) ||
				!strings.HasPrefix(report.Warnings[0], "server: ") {
				t.Errorf("got %q, %v", report.Warnings, err)
			}
		})
	}
}

func TestCheckReadsARealServer(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL())

	report, err := s.Check(t.Context())
	if err != nil || len(report.Servers) != 1 || len(report.Warnings) != 3 {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestAReplicaIsRefused(t *testing.T) {
	t.Parallel()

	set := redistest.Sentinels(t)

	_, err := redisstore.Open(set.Replica().URL(), redisstore.WithTimeout(generous))
	if err == nil || !strings.Contains(err.Error(), "replica") {
		t.Errorf("got %v", err)
	}
}

func TestCheckVisitsEveryMasterOfACluster(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t, "--cluster-require-full-coverage", "no")
	s := open(t, clusterURL(cluster))

	report, err := s.Check(t.Context())
	if err != nil || len(report.Servers) != 3 {
		t.Errorf("got %+v, %v", report, err)
	}

	for _, node := range cluster.Nodes()[:3] {
		if !slices.ContainsFunc(report.Servers, func(info string) bool { return strings.HasPrefix(info, node.Addr()+": ") }) {
			t.Errorf("%s is not among %q", node.Addr(), report.Servers)
		}
	}

	if err := cluster.Nodes()[1].Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), cluster.Nodes()[1].Addr()+" has the eviction policy") {
		t.Errorf("a master that evicts: %v", err)
	}

	if err := cluster.Nodes()[1].Client().ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}

	// A cluster without full coverage is "ok" without a slot.
	for _, node := range cluster.Nodes() {
		if err := node.Client().ClusterDelSlots(t.Context(), 7).Err(); err != nil {
			t.Log(err) // it has heard of it already
		}
	}

	eventually(t, "Check misses the slot", func() bool {
		_, err := s.Check(t.Context())

		return err != nil && strings.Contains(err.Error(), "slot")
	})
}

func TestAServerThatCannotBeReachedIsRefusedUnlessNobodyLooks(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	server.Kill()

	host := strings.TrimPrefix(server.URL(), "redis://")

	for name, url := range map[string]string{
		"one server": "redis://user:hunter2@" + host,
		"a cluster":  "redis+cluster://user:hunter2@" + host,
		"Sentinel":   "redis+sentinel://user:hunter2@" + host + "?master_name=main",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := redisstore.Open(url)
			if err == nil || !strings.Contains(err.Error(), "cannot be reached") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}

			s := open(t, url, redisstore.WithoutCheck(), redisstore.WithTimeout(unit))

			if _, err := s.Lookup(t.Context(), newKey()); !failed(err) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a lookup returned %v", err)
			}

			if _, err := s.Check(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Check returned %v", err)
			}
		})
	}
}

func TestAServerThatDoesNotAnswerIsReportedInTimeWhateverTheClient(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)
	plan := redistest.NewPlan(t)
	plan.Stall()

	t.Cleanup(plan.Unstall)

	addrs := cluster.Addrs()
	// Without the store's own time limits, an answer would take longer than the test allows.
	heedless := &redis.ClusterOptions{Addrs: addrs, Dialer: plan.Dial, ReadTimeout: patience}
	impatient := &redis.ClusterOptions{Addrs: addrs, Dialer: plan.Dial, ReadTimeout: patience, ContextTimeoutEnabled: true}

	for name, client := range map[string]redis.UniversalClient{
		"one server":                    redis.NewClient(&redis.Options{Addr: addrs[0], Dialer: plan.Dial, ReadTimeout: patience}),
		"a cluster":                     redis.NewClusterClient(heedless),
		"a cluster that heeds contexts": redis.NewClusterClient(impatient),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := with(t, client, redisstore.WithoutCheck(), redisstore.WithTimeout(unit))

			begin := time.Now()

			if _, err := s.Lookup(t.Context(), newKey()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a lookup returned %v", err)
			}

			ctx, cancel := context.WithTimeout(t.Context(), unit)
			defer cancel()

			if _, err := s.Check(ctx); err == nil {
				t.Error("Check is content")
			}

			if took := time.Since(begin); took > patience/2 {
				t.Errorf("they ended after %v", took)
			}
		})
	}
}

// With each of these clients, one server would be checked and swept, and the others left out.
func TestAClientThatHidesTheServersOfAClusterIsRefused(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)
	client := redis.NewClusterClient(redisstore.SetClusterOptions(&redis.ClusterOptions{Addrs: cluster.Addrs()}))

	t.Cleanup(func() { _ = client.Close() })

	pipelined, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}

	for name, hides := range map[string]redisstore.Client{
		"a client of one server": cluster.Nodes()[0].Client(),
		"an AutoPipeliner":       pipelined,
		"a wrapper":              struct{ redisstore.Client }{client},
	} {
		refused := func(err error) {
			t.Helper()

			if err == nil || !strings.Contains(err.Error(), "redis.NewClusterClient") {
				t.Errorf("%s: the error does not say what to pass: %v", name, err)
			}
		}

		_, err := redisstore.New(hides)
		refused(err)

		s, err := redisstore.New(hides, redisstore.WithoutCheck(), redisstore.WithTimeout(generous))
		if err != nil {
			t.Fatal(err)
		}

		_, err = s.Sweep(t.Context())
		refused(err)
		refused(s.Run(t.Context()))
	}
}
