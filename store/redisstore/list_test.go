package redisstore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// rest returns the records of a list up to its error.
func rest(t *testing.T, s *redisstore.Store) (keys []store.Key, problem error) {
	t.Helper()

	for one, err := range s.ListUnknown(t.Context()) {
		switch {
		case problem != nil:
			t.Error("the list goes on after an error")
		case err != nil:
			problem = err
		default:
			keys = append(keys, one.Key)
		}
	}

	return keys, problem
}

// torn is a cluster without one of its masters and its replica.
type torn struct {
	cluster *redistest.Cluster
	dead    *redistest.Server
	// here are records on the living masters with their entries there; lost are records whose entries are on the dead master.
	here, lost []store.Key
}

// tear makes records with a function, and then kills a master and its replica.
func tear(t *testing.T, record func(c *redistest.Cluster, key store.Key)) *torn {
	t.Helper()

	// No replica replaces the dead master, because the nodes of a cluster wait a minute.
	c := redistest.NewCluster(t, "--cluster-require-full-coverage", "no")
	x := &torn{cluster: c, dead: c.Nodes()[0]}

	for len(x.here) < 3 || len(x.lost) < 3 {
		key := newKey()
		record(c, key)

		switch atRecord, atIndex := c.MasterFor(stored(key)), c.MasterFor(indexOf(key)); {
		case atRecord != x.dead && atIndex != x.dead:
			x.here = append(x.here, key)
		case atRecord != x.dead:
			x.lost = append(x.lost, key)
		}
	}

	c.ReplicaFor(stored(lostOn(c, x.dead))).Kill()
	x.dead.Kill()

	return x
}

// held claims a key and holds it.
func held(t *testing.T, s *redisstore.Store, key store.Key) {
	t.Helper()

	claim := claimOn(key)
	start(t, s, claim)

	res, err := s.Hold(t.Context(), hold(claim))
	must(t, res, err)
}

func TestAListYieldsTheRestAndThenOneErrorIfAMasterIsDown(t *testing.T) {
	t.Parallel()

	var s *redisstore.Store

	x := tear(t, func(c *redistest.Cluster, key store.Key) {
		if s == nil {
			s = open(t, clusterURL(c), redisstore.WithTimeout(silent), redisstore.WithoutCheck())
		}

		held(t, s, key)
	})

	keys, problem := rest(t, s)
	for _, key := range x.here {
		if !slices.Contains(keys, key) {
			t.Errorf("%v is not listed", key)
		}
	}

	if problem == nil || !strings.Contains(problem.Error(), indexOf(x.lost[0])) || errors.Is(problem, store.ErrUnreadable) {
		t.Errorf("the error does not name what is missing: %v", problem)
	}
}

func TestTheOtherMastersAreSweptIfOneIsDown(t *testing.T) {
	t.Parallel()

	var blind *redisstore.Store

	x := tear(t, func(c *redistest.Cluster, key store.Key) {
		if blind == nil {
			blind = open(t, clusterURL(c), redisstore.WithTimeout(silent), redisstore.WithoutCheck(), redisstore.WithoutIndex())
		}

		held(t, blind, key)
	})
	url := "redis+cluster://" + x.cluster.Addrs()[1] + "?addr=" + x.cluster.Addrs()[2]
	s := open(t, url, redisstore.WithTimeout(silent), redisstore.WithoutCheck(), unindexed,
		redisstore.WithSweepPace(100, time.Millisecond, time.Hour, time.Second))

	stop := running(t, s)
	defer stop()

	eventually(t, "the records are listed", func() bool {
		keys, _ := rest(t, s)

		return !slices.ContainsFunc(x.here, func(key store.Key) bool { return !slices.Contains(keys, key) })
	})
}

// lostOn is a key whose record is on a master.
func lostOn(cluster *redistest.Cluster, master *redistest.Server) store.Key {
	for {
		if key := newKey(); cluster.MasterFor(stored(key)) == master {
			return key
		}
	}
}

func TestAListEndsAtOnceIfTheOnlyServerDoesNotAnswer(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)
	unknown(t, s, 3)
	start(t, s, newClaim())

	// The index is read, and the records are not.
	proxy.Every(redistest.LostReply, redistest.Named("evalsha"))

	if keys, problem := rest(t, s); len(keys) > 0 || problem == nil || strings.Count(problem.Error(), "redisstore:") != 1 {
		t.Errorf("%d records are listed, and the error is %v", len(keys), problem)
	}

	proxy.Down()

	if keys, problem := rest(t, s); len(keys) > 0 || problem == nil || strings.Count(problem.Error(), "redisstore:") != 1 {
		t.Errorf("%d records are listed, and the error is %v", len(keys), problem)
	}
}

// A list needs no write. An entry that it cannot remove is found by the next list.
func TestAListIsWholeWhileTheServerRefusesWrites(t *testing.T) {
	t.Parallel()

	r := withoutReplicas(t)
	w := new(witness)
	s := open(t, r.server.URL(), redisstore.WithObserver(w))
	kept := unknown(t, s, 2)
	leaveAnEntryBehind(t, r.server.Client())
	flush(t, s)
	r.refuse()
	w.take(0)

	if keys := listed(t, s); len(keys) != len(kept) {
		t.Errorf("%d records are listed, want %d", len(keys), len(kept))
	}

	if e := w.mustSee(t, store.EventIndex, "", store.StatusFailed); e.Count != 1 || e.Err == nil {
		t.Errorf("seen is %+v", e)
	}
}
