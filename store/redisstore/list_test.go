package redisstore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// rest lists, and returns what comes before the error that ends the list.
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

func TestAListYieldsTheRestAndThenOneErrorIfAMasterIsDown(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t, "--cluster-require-full-coverage", "no")
	s := open(t, clusterURL(cluster), redisstore.WithTimeout(silent))
	dead := cluster.Nodes()[0]
	isLost := func(name string) bool { return cluster.MasterFor(name) == dead }

	var here, lost []store.Key // lost are records on the other masters, with an entry on the one that dies

	for len(here) < 3 || len(lost) < 3 {
		claim := newClaim()
		start(t, s, claim)

		res, err := s.Hold(t.Context(), hold(claim))
		must(t, res, err)

		switch record, index := isLost(stored(claim.Key)), isLost(indexOf(claim.Key)); {
		case !record && !index:
			here = append(here, claim.Key)
		case !record:
			lost = append(lost, claim.Key)
		}
	}

	cluster.ReplicaFor(stored(lostOn(cluster, dead))).Kill()
	dead.Kill()

	keys, problem := rest(t, s)
	for _, key := range here {
		if !slices.Contains(keys, key) {
			t.Errorf("%v is not listed", key)
		}
	}

	if problem == nil || !strings.Contains(problem.Error(), indexOf(lost[0])) || errors.Is(problem, store.ErrUnreadable) {
		t.Errorf("the error does not name what is missing: %v", problem)
	}
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

// A list needs no write. What it cannot remove, the next one finds again.
func TestAListIsWholeWhileTheServerRefusesWrites(t *testing.T) {
	t.Parallel()

	r := withoutReplicas(t)
	w := new(witness)
	s := open(t, r.server.URL(), redisstore.WithTimeout(generous), redisstore.WithObserver(w))
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
