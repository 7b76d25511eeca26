package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// errNoCluster is the error for a client that hides the other servers of a cluster.
var errNoCluster = errors.New("its client is not a *redis.ClusterClient and hides the other servers: " +
	"pass the result of redis.NewClusterClient itself, without an AutoPipeliner or a wrapper, or Open a redis+cluster:// URL")

// checkClient returns an error if the server is in a cluster and the client hides the others.
func (s *Store) checkClient(address string, info map[string]string) error {
	if info["cluster_enabled"] == "1" && s.batches.servers.cluster == nil {
		return fmt.Errorf("redisstore: %s is a server of a cluster, and %w", address, errNoCluster)
	}

	return nil
}

// examination collects the diagnoses of one place.
type examination struct {
	where string
	found []store.Diagnosis
}

func (e *examination) add(check string, severity store.Severity, found, remedy string) {
	e.found = append(e.found, store.Diagnosis{Check: check, Where: e.where, Severity: severity, Found: found, Remedy: remedy})
}

func (e *examination) ok(check, found string) { e.add(check, store.SeverityOK, found, "") }

func (e *examination) warn(check, found, remedy string) {
	e.add(check, store.SeverityWarn, found, remedy)
}

func (e *examination) fail(check, found, remedy string) {
	e.add(check, store.SeverityFail, found, remedy)
}

// examine judges the INFO of a server. The store can use the server unless a severity is SeverityFail.
func (s *Store) examine(address string, info map[string]string) []store.Diagnosis {
	e := examination{where: address}

	major, _, _ := strings.Cut(info["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestVersion {
		e.fail("version", fmt.Sprintf("has version %q", info["redis_version"]), "at least 7.0 is needed")
	} else {
		e.ok("version", program(info))
	}

	if info["role"] == "slave" {
		e.fail("role", "is a replica", "connect to the master, or through Sentinel")
	} else {
		e.ok("role", "is a master")
	}

	if s.checkClient(address, info) != nil {
		found, remedy, _ := strings.Cut(errNoCluster.Error(), ": ")
		e.fail("cluster", "is a server of a cluster, and "+found, remedy)
	}

	switch policy := info["maxmemory_policy"]; {
	case policy == "noeviction":
		e.ok("eviction", "maxmemory-policy is noeviction")
	case s.evicting:
		e.ok("eviction", fmt.Sprintf("has the eviction policy %q, which WithEviction accepts", policy))
	default:
		e.fail("eviction", fmt.Sprintf("has the eviction policy %q and forgets records when its memory is full", policy),
			"set maxmemory-policy to noeviction, or accept that with WithEviction")
	}

	e.persistence(info)
	e.replication(info)

	switch {
	case info["maxmemory"] == "0":
		e.warn("memory", "maxmemory is not set: the system may kill the server when memory runs out",
			"set maxmemory to less than the machine has; it needs room for replicas and snapshots as well")
	case info["maxmemory"] != "":
		e.ok("memory", fmt.Sprintf("%s of %s bytes are used", info["used_memory"], info["maxmemory"]))
	}

	if info["loading"] == "1" {
		e.warn("loading", "is still loading its data", "wait for the end of loading, and check again")
	}

	return e.found
}

func (e *examination) persistence(info map[string]string) {
	const check = "persistence"

	switch {
	case info["aof_enabled"] != "1" && info["rdb_last_save_time"] == "":
		e.warn(check, "the persistence is unknown", "allow the user the whole INFO command")
	case info["aof_enabled"] != "1":
		e.warn(check, "the append-only file is off: a restart forgets what was recorded since the last snapshot, and these calls may run again",
			"set appendonly to yes, and appendfsync to everysec or always")
	case info["aof_last_write_status"] == "err":
		e.warn(check, "the append-only file cannot be written", "free disk space, and read the server's log")
	default:
		e.ok(check, "the append-only file is on")
	}
}

func (e *examination) replication(info map[string]string) {
	const check = "replication"

	switch {
	case info["connected_slaves"] == "0":
		e.warn(check, "the server has no replica: while it is down, keyed calls are refused",
			"add a replica and let Sentinel or a cluster fail over")
	case info["min_slaves_good_slaves"] == "":
		e.warn(check,
			"min-replicas-to-write is not set: a master that has lost its replicas goes on acknowledging claims that a failover forgets",
			"set min-replicas-to-write to 1, and min-replicas-max-lag to a few seconds")
	default:
		e.ok(check, fmt.Sprintf("%s replicas, of which %s follow closely", info["connected_slaves"], info["min_slaves_good_slaves"]))
	}
}

// examineClient judges client settings that SetOptions would improve.
func examineClient(client Client) []store.Diagnosis {
	e := examination{where: "client"}
	obeys, life := true, connectionLife

	switch c := client.(type) {
	case *redis.Client:
		obeys, life = c.Options().ContextTimeoutEnabled, c.Options().ConnMaxLifetime
	case *redis.ClusterClient:
		obeys, life = c.Options().ContextTimeoutEnabled, c.Options().ConnMaxLifetime
	}

	if !obeys {
		e.warn("deadlines", "the client does not obey deadlines, and each connection that has died costs a failure",
			"make its options with SetOptions, SetClusterOptions or SetFailoverOptions")
	}

	if life <= 0 {
		e.warn("connections", "the client never renews its connections, which stay with a server that was demoted", "set ConnMaxLifetime")
	}

	return e.found
}
