package redisstore_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// contract proves that a store keeps the contract.
func contract(t *testing.T, s store.Store) {
	t.Helper()

	storetest.Run(t, func(*testing.T) store.Store { return s }, storetest.WithUnit(unit))
}

func TestContract(t *testing.T) {
	t.Parallel()

	contract(t, open(t, redistest.Standalone(t).URL()))
}

func TestContractSealed(t *testing.T) {
	t.Parallel()

	key, err := store.NewSealKey("a", make([]byte, store.SealKeySize))
	if err != nil {
		t.Fatal(err)
	}

	ring, err := store.NewStaticKeys(key)
	if err != nil {
		t.Fatal(err)
	}

	contract(t, store.Sealed(open(t, redistest.Standalone(t).URL()), ring))
}

// The client leaves timeouts to the store, which therefore needs a goroutine for each of them.
func TestContractWithoutIndexAndWithAClientThatDoesNotHeedContexts(t *testing.T) {
	t.Parallel()

	client := redis.NewClient(patient(redis.Options{Addr: redistest.Standalone(t).Addr()}))
	s := with(t, client, redisstore.WithoutIndex())

	// The type has ListUnknown, and a store without an index does not list: this hides the method.
	contract(t, struct{ store.Store }{s})

	claim := newClaim()
	start(t, s, claim)

	res, err := s.Hold(t.Context(), hold(claim))
	must(t, res, err)

	for listed, err := range s.ListUnknown(t.Context()) {
		t.Errorf("found %v, %v", listed.Key, err)
	}
}

func TestContractWithAnAutoPipeliner(t *testing.T) {
	t.Parallel()

	client := redis.NewClient(patient(redis.Options{Addr: redistest.Standalone(t).Addr()}))

	pipelined, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = client.Close() })

	contract(t, with(t, pipelined))
}

func TestContractInACluster(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)

	contract(t, open(t, clusterURL(cluster)))
}

func TestContractWithoutBatchingBehindSentinel(t *testing.T) {
	t.Parallel()

	contract(t, open(t, sentinelURL(redistest.Sentinels(t)), redisstore.WithoutBatching()))
}

func clusterURL(cluster *redistest.Cluster) string {
	addrs := cluster.Addrs()

	return "redis+cluster://" + addrs[0] + "?addr=" + addrs[1]
}

func sentinelURL(set *redistest.SentinelSet) string {
	addrs := set.SentinelAddrs()

	return "redis+sentinel://" + addrs[0] + "?addr=" + addrs[1] + "&master_name=" + set.MasterName()
}
