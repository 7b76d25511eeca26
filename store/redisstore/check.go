package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// checkTimeout bounds the Check at construction, unless an operation has more time.
const checkTimeout = 5 * time.Second

// oldestVersion is the first major version whose scripts have flags.
const oldestVersion = 7

// allSlots is the number of slots of a cluster, as CLUSTER INFO has it.
const allSlots = "16384"

// Report is what Check has found out.
type Report struct {
	// Servers are the servers that have answered, each as "address: redis 7.0.15, master" or "address: valkey 9.1.2, master".
	Servers []string
	// Warnings describe what weakens the store without making it unusable, such as persistence that is switched off.
	Warnings []string
}

// Check finds out whether every master can keep the store's guarantees. [New] and [Open] call it. It is cheap enough for a health check: a
// few commands for each master.
//
// It fails if a master cannot be reached, is older than 7.0, is a replica, refuses writes, or evicts keys when its memory is full. With
// WithEviction it accepts eviction. It also fails if some slots of a cluster have no server, and if the servers are a cluster and the
// client is not a *redis.ClusterClient. The error names every problem and its remedy.
func (s *Store) Check(ctx context.Context) (Report, error) {
	var (
		mu     sync.Mutex
		report Report
		errs   []error
	)

	visit := func(ctx context.Context, address string, client Client) error {
		found, err := s.checkServer(ctx, address, client)

		mu.Lock()
		defer mu.Unlock()

		report.Servers = append(report.Servers, found.Servers...)
		report.Warnings = append(report.Warnings, found.Warnings...)
		errs = append(errs, err)

		return nil // so that the others are checked as well
	}

	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		errs = append(errs, s.checkCluster(ctx, cluster))

		err := newWire(cluster).await(ctx, func() error {
			return cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
				return visit(ctx, master.Options().Addr, master)
			})
		})

		mu.Lock() // some may be under way still
		defer mu.Unlock()

		if err != nil {
			errs = append(errs, fmt.Errorf("redisstore: the cluster cannot be reached: %w", err))
		}
	} else {
		_ = visit(ctx, "server", s.client)
	}

	report.Warnings = append(report.Warnings, clientWarnings(s.client)...)

	s.findIFEQ(ctx)

	return report, errors.Join(errs...)
}

func (s *Store) checkCluster(ctx context.Context, cluster *redis.ClusterClient) error {
	cmd := redis.NewStringCmd(ctx, "CLUSTER", "INFO")
	if err := process(ctx, cluster, cmd); err != nil {
		return fmt.Errorf("redisstore: the cluster cannot be reached: %w", err)
	}

	// A cluster that does not require all its slots is "ok" without some.
	info := fields(cmd.Val())
	if state, served := info["cluster_state"], info["cluster_slots_ok"]; state != "ok" || served != allSlots {
		return fmt.Errorf("redisstore: the cluster is in state %q and serves %s of %s slots: every slot needs a master that answers",
			state, served, allSlots)
	}

	return nil
}

func (s *Store) checkServer(ctx context.Context, address string, client Client) (Report, error) {
	cmd := redis.NewStringCmd(ctx, "INFO")
	if err := process(ctx, client, cmd); err != nil {
		return Report{}, fmt.Errorf("redisstore: %s cannot be reached: %w", address, err)
	}

	info := fields(cmd.Val())
	report := Report{
		Servers:  []string{fmt.Sprintf("%s: %s, %s", address, program(info), info["role"])},
		Warnings: warnings(address, info),
	}

	if err := s.judge(address, info); err != nil {
		return report, err
	}

	return report, checkWritable(ctx, address, client)
}

// program is the name and the version of a server. Valkey also has a version of Redis, with which it is compatible.
func program(info map[string]string) string {
	if version := info["valkey_version"]; version != "" {
		return "valkey " + version
	}

	return "redis " + info["redis_version"]
}

// judge returns an error for what makes a server unusable.
func (s *Store) judge(address string, info map[string]string) error {
	var errs []error

	major, _, _ := strings.Cut(info["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestVersion {
		errs = append(errs, fmt.Errorf("redisstore: %s has version %q: at least 7.0 is needed", address, info["redis_version"]))
	}

	if info["role"] == "slave" {
		errs = append(errs, fmt.Errorf("redisstore: %s is a replica: connect to the master, or through Sentinel", address))
	}

	if err := s.checkClient(address, info); err != nil {
		errs = append(errs, err)
	}

	policy := info["maxmemory_policy"]
	if policy != "noeviction" && !s.evicting {
		errs = append(errs, fmt.Errorf("redisstore: %s has the eviction policy %q and forgets records when its memory is full: "+
			"set maxmemory-policy to noeviction, or accept that with WithEviction", address, policy))
	}

	return errors.Join(errs...)
}

// errNoCluster is about a client of a cluster whose servers the store cannot visit.
var errNoCluster = errors.New("its client is not a *redis.ClusterClient, so that the other servers would neither be checked nor swept: " +
	"pass the result of redis.NewClusterClient itself, without an AutoPipeliner or a wrapper, or Open a redis+cluster:// URL")

// checkClient returns an error if a server is one of a cluster and the client hides the others.
func (s *Store) checkClient(address string, info map[string]string) error {
	if info["cluster_enabled"] == "1" && s.batches.servers.cluster == nil {
		return fmt.Errorf("redisstore: %s is a server of a cluster, and %w", address, errNoCluster)
	}

	return nil
}

// warnings are about settings of a server that weaken the store.
func warnings(address string, info map[string]string) []string {
	var found []string

	warn := func(text string) { found = append(found, address+": "+text) }

	switch {
	case info["aof_enabled"] != "1" && info["rdb_last_save_time"] == "":
		warn("its persistence is unknown")
	case info["aof_enabled"] != "1":
		warn("the append-only file is off: a restart forgets what was recorded since the last snapshot, and it may run again")
	case info["aof_last_write_status"] == "err":
		warn("the append-only file cannot be written")
	}

	if info["connected_slaves"] == "0" {
		warn("it has no replica: while it is down, keyed calls are refused")
	} else if info["min_slaves_good_slaves"] == "" {
		warn("min-replicas-to-write is not set: a master that has lost its replicas goes on acknowledging claims that a failover forgets")
	}

	if info["maxmemory"] == "0" {
		warn("maxmemory is not set: the system may kill the server when memory runs out")
	}

	if info["loading"] == "1" {
		warn("it is still loading its data")
	}

	return found
}

// clientWarnings report settings of a client that SetOptions would make better.
func clientWarnings(client Client) (found []string) {
	obeys, life := true, connectionLife

	switch c := client.(type) {
	case *redis.Client:
		obeys, life = c.Options().ContextTimeoutEnabled, c.Options().ConnMaxLifetime
	case *redis.ClusterClient:
		obeys, life = c.Options().ContextTimeoutEnabled, c.Options().ConnMaxLifetime
	}

	if !obeys {
		found = append(found, "the client does not obey deadlines, and each connection that has died costs a failure: "+
			"make its options with SetOptions, SetClusterOptions or SetFailoverOptions")
	}

	if life <= 0 {
		found = append(found, "the client never renews its connections, which stay with a server that was demoted: set ConnMaxLifetime")
	}

	return found
}

// fields reads lines of the form name:value.
func fields(text string) map[string]string {
	found := make(map[string]string)

	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			found[name] = value
		}
	}

	return found
}
