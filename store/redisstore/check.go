package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
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

	for _, d := range examineClient(s.client) {
		if d.Severity == store.SeverityWarn {
			report.Warnings = append(report.Warnings, d.Found+": "+d.Remedy)
		}
	}

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
	found := s.examine(address, info)
	report := Report{Servers: []string{fmt.Sprintf("%s: %s, %s", address, program(info), info["role"])}}

	var errs []error

	for i := range found {
		switch d := &found[i]; d.Severity {
		case store.SeverityFail:
			errs = append(errs, fmt.Errorf("redisstore: %s %s: %s", address, d.Found, d.Remedy))
		case store.SeverityWarn:
			report.Warnings = append(report.Warnings, address+": "+d.Found)
		case store.SeverityOK:
		}
	}

	if err := errors.Join(errs...); err != nil {
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
