package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// partition is a master with two replicas and a sentinel for each, at three sites. The first site is isolated.
type partition struct {
	network  *redistest.Network
	set      *redistest.SentinelSet
	old, new *redistest.Server
	address  *gateway // of the isolated side
	// isolated and joined are stores of clients on either side.
	isolated, joined *redisstore.Store
	// unknown is the claim of a run whose outcome was unknown before the partition.
	unknown store.Claim
}

// isolateTheMaster makes a partition, and returns when there are two masters.
func isolateTheMaster(t *testing.T, args ...string) *partition {
	t.Helper()

	p := &partition{network: redistest.NewNetwork(t, 3)}
	p.set = redistest.SentinelsAt(p.network, args...)
	p.old = p.set.Servers()[0]

	p.address = newGateway(t, p.old.Addr(), false)
	p.isolated = open(t, p.address.url(""))

	p.unknown = newClaim()
	start(t, p.isolated, p.unknown)

	res, err := p.isolated.Hold(t.Context(), hold(p.unknown))
	must(t, res, err)

	p.set.ReplaceMasterAfter(3 * time.Second)
	p.network.Isolate(0)
	p.new = p.set.WaitPromotion(0)

	p.joined = open(t, p.new.URL(), redisstore.WithoutCheck())
	eventually(t, "the joined side works", works(p.joined))

	if role := p.old.Client().Info(t.Context(), "replication").Val(); !strings.Contains(role, "role:master") {
		t.Fatalf("there are not two masters: %s", role)
	}

	return p
}

// works reports whether a store has a master that accepts writes.
func works(s *redisstore.Store) func() bool {
	return func() bool {
		_, err := s.Check(context.Background())

		return err == nil
	}
}

// heal ends the partition. It returns when the old master is a replica and the address of the isolated side leads to
// the new master.
func (p *partition) heal(t *testing.T) {
	t.Helper()

	p.network.Join(0)
	follow(t, p.old, p.new) // as Sentinel does after ten seconds

	eventually(t, "the old master follows", func() bool {
		return strings.Contains(p.old.Client().Info(t.Context(), "replication").Val(), "master_link_status:up")
	})

	p.address.lead(p.new.Addr())
	eventually(t, "the isolated side has found the new master", works(p.isolated))
}

// required is what a master needs to accept writes. A replica may stand still for a minute.
var required = []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "60"}

func TestF14WithRequiredReplicasAnIsolatedMasterGrantsNothing(t *testing.T) {
	t.Parallel()

	p := isolateTheMaster(t, required...)
	isolated, joined := newEngine(t, p.isolated), newEngine(t, p.joined)

	if err := p.old.Client().ConfigSet(t.Context(), "min-replicas-max-lag", "2").Err(); err != nil {
		t.Fatal(err)
	}

	eventually(t, "the old master has noticed", func() bool {
		_, err := p.isolated.Check(t.Context())

		return err != nil && strings.Contains(err.Error(), "refuses writes")
	})

	runs := 0
	count := func() { runs++ }

	if got := call(t, isolated, "7 EUR", count); got != string(onlyonce.ReasonStoreUnavailable) || runs != 0 {
		t.Errorf("a call on the isolated side: %s, after %d runs", got, runs)
	}

	if got := call(t, joined, "7 EUR", count); got != "executed" {
		t.Errorf("a call on the other side: %s", got)
	}

	// The new master may have the outcome by now.
	if res, err := p.isolated.Claim(t.Context(), claimOn(p.unknown.Key)); !failed(err) {
		t.Errorf("a duplicate of a call whose outcome was unknown, on the isolated side: %+v, %v", res, err)
	}

	p.heal(t)

	if got := call(t, isolated, "7 EUR", count); got != "replayed" || runs != 1 {
		t.Errorf("a duplicate: %s, after %d runs", got, runs)
	}
}

func TestF14WithoutRequiredReplicasBothSidesRunAndTheIsolatedOneIsForgotten(t *testing.T) {
	t.Parallel()

	p := isolateTheMaster(t)
	isolated, joined := newEngine(t, p.isolated), newEngine(t, p.joined)
	runs := 0
	count := func() { runs++ }

	// The documentation warns of this second run.
	if got := call(t, isolated, "7 EUR", count); got != "executed" {
		t.Errorf("a call on the isolated side: %s", got)
	}

	if got := call(t, joined, "7 EUR", count); got != "executed" || runs != 2 {
		t.Errorf("a call on the other side: %s, after %d runs", got, runs)
	}

	alone := callOf("9 EUR")
	alone.Key = "alone"

	if got := callAs(t, isolated, alone, func() {}); got != "executed" {
		t.Errorf("a call on the isolated side alone: %s", got)
	}

	// A run on the isolated side ends after the partition, when the other side has already run the same call.
	late := callOf("8 EUR")
	late.Key = "late"

	if got := callAs(t, isolated, late, func() {
		if got := callAs(t, joined, late, func() {}); got != "executed" {
			t.Errorf("a call that runs on the isolated side: %s", got)
		}

		p.heal(t)
	}); got != "replayed" {
		t.Errorf("a run whose claim the failover has lost: %s, want the outcome of the other", got)
	}

	for name, e := range map[string]*onlyonce.Engine{"isolated": isolated, "joined": joined} {
		if got := call(t, e, "7 EUR", count); got != "replayed" || runs != 2 {
			t.Errorf("a duplicate on the side that was %s: %s, after %d runs", name, got, runs)
		}
	}

	again := 0
	if got := callAs(t, joined, alone, func() { again++ }); got != "executed" || again != 1 {
		t.Errorf("a call that only the isolated side had recorded: %s, after %d runs", got, again)
	}
}
