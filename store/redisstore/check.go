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

// checkTimeout bounds the Check of New and Open, unless an operation has more time.
const checkTimeout = 5 * time.Second

// oldestVersion is the first major version with flags for scripts.
const oldestVersion = 7

// allSlots is the number of slots of a cluster, as CLUSTER INFO prints it.
const allSlots = "16384"

// Report is the result of a Check.
type Report struct {
	// Servers are the masters that answered, such as "10.0.0.1:6379: valkey 9.1.2, master". Without a cluster, the address is "server".
	Servers []string
	// Warnings are settings that weaken the store and leave it usable, such as an append-only file that is off.
	Warnings []string
}

// Check examines whether every master can keep the store's guarantees, and changes nothing. [New] and [Open] call it. It takes a few
// commands for each master, so it suits a health check. Give ctx a deadline.
//
// Check returns an error for each of these problems. The error names the problem and its remedy, and the Report has what was found until
// then.
//   - A master cannot be reached, is older than 7.0, is a replica, or refuses writes.
//   - A master evicts keys when its memory is full, and WithEviction is not set.
//   - Slots of a cluster have no master.
//   - The servers are a cluster, and the client is not a *redis.ClusterClient.
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

	// A cluster that does not require full coverage is "ok" without some slots.
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

// program returns the name and version of a server. Valkey also reports the version of Redis that it is compatible with.
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
