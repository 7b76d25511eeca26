package redisstore

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// Diagnose implements [store.Diagnoser]. It examines what [Store.Check] examines: every master, the cluster and the client. It takes at
// most 5 s, or the time of [WithTimeout] if that is longer.
func (s *Store) Diagnose(ctx context.Context) []store.Diagnosis {
	ctx, cancel := context.WithTimeout(ctx, max(checkTimeout, s.timeout))
	defer cancel()

	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return append(s.diagnoseServer(ctx, "server", s.client), examineClient(s.client)...)
	}

	var (
		mu    sync.Mutex
		found []store.Diagnosis
	)

	e := examination{where: "cluster"}

	if err := s.checkCluster(ctx, cluster); err != nil {
		e.fail("slots", withoutPackage(err), "read CLUSTER INFO of each master")
	} else {
		e.ok("slots", "every slot has a master")
	}

	err := newWire(cluster).await(ctx, func() error {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
			diagnoses := s.diagnoseServer(ctx, master.Options().Addr, master)

			mu.Lock()
			defer mu.Unlock()

			found = append(found, diagnoses...)

			return nil // so that the others are examined as well
		})
	})
	if err != nil {
		e.fail("connection", "the cluster cannot be reached: "+err.Error(), "start its servers, or correct the addresses in the URL")
	}

	mu.Lock() // some may be under way still
	defer mu.Unlock()

	slices.SortStableFunc(found, func(a, b store.Diagnosis) int { return strings.Compare(a.Where, b.Where) })

	return slices.Concat(e.found, found, examineClient(s.client))
}

// diagnoseServer examines one master.
func (s *Store) diagnoseServer(ctx context.Context, address string, client Client) []store.Diagnosis {
	e := examination{where: address}

	cmd := redis.NewStringCmd(ctx, "INFO")
	if err := process(ctx, client, cmd); err != nil {
		e.fail("connection", "cannot be reached: "+err.Error(), "start the server, or correct the address, the user or the password in the URL")

		return e.found
	}

	e.found = s.examine(address, fields(cmd.Val()))

	if err := checkWritable(ctx, address, client); err != nil {
		e.fail("writes", withoutPackage(err), "")
	} else {
		e.ok("writes", "are accepted")
	}

	return e.found
}

// withoutPackage returns the text of err without the prefix of this package.
func withoutPackage(err error) string { return strings.TrimPrefix(err.Error(), "redisstore: ") }
