package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// resharding is a cluster that moves some slots to other masters: slots of records, and slots of the indexes.
type resharding struct {
	cluster    *redistest.Cluster
	migrations []*redistest.Migration
}

// reshard starts to move the slots, and those of all indexes.
func reshard(t *testing.T, cluster *redistest.Cluster, slots ...int) *resharding {
	t.Helper()

	r := &resharding{cluster: cluster}

	for _, index := range indexesOf(t, cluster) {
		slots = append(slots, redistest.Slot(index))
	}

	slices.Sort(slots)

	for _, slot := range slices.Compact(slots) {
		r.migrations = append(r.migrations, cluster.Migrate(slot, cluster.OtherMaster(slot)))
	}

	return r
}

// move moves the keys of the open slots that are chosen and have not moved.
func (r *resharding) move(t *testing.T, chosen func(key string) bool) {
	t.Helper()

	for _, m := range r.migrations {
		for _, key := range m.Keys() {
			if chosen(key) {
				m.Move(key)
			}
		}
	}
}

// finish hands the slots over.
func (r *resharding) finish(t *testing.T) {
	t.Helper()

	for _, m := range r.migrations {
		m.Finish()
	}
}

// indexesOf are the names of all indexes that there are.
func indexesOf(t *testing.T, cluster *redistest.Cluster) (names []string) {
	t.Helper()

	for _, node := range cluster.Nodes()[:3] {
		scan := node.Client().ScanType(t.Context(), 0, redisstore.DefaultPrefix+"*", 1000, "zset").Iterator()
		for scan.Next(t.Context()) {
			names = append(names, scan.Val())
		}

		if err := scan.Err(); err != nil {
			t.Fatal(err)
		}
	}

	return names
}

// claimIn is a claim on a fresh key of a slot.
func claimIn(slot int) store.Claim {
	for {
		claim := newClaim()
		end := claim.Key[len(claim.Key)-2:]

		clear(end)
		copy(end, endings()[redistest.Slot(stored(claim.Key))^slot])

		if redistest.Slot(stored(claim.Key)) == slot { // a key with braces may not be
			return claim
		}
	}
}

// endings are the last two bytes of keys, by how they change the slot: a checksum is linear.
var endings = sync.OnceValue(func() map[int]string {
	bySlot := make(map[int]string)

	for i := range 1 << 16 {
		end := string([]byte{byte(i >> 8), byte(i)})
		bySlot[redistest.Slot(end)] = end
	}

	return bySlot
})

func TestAClaimIsInItsSlot(t *testing.T) {
	t.Parallel()

	for range 100 {
		slot := aSlot()
		if got := redistest.Slot(stored(claimIn(slot).Key)); got != slot {
			t.Errorf("a claim for the slot %d is in the slot %d", slot, got)
		}
	}
}

// aSlot is a slot for records.
func aSlot() int { return redistest.Slot(stored(newKey())) }

// phase is a moment of a resharding.
type phase struct {
	name string
	next func(t *testing.T, r *resharding, isIndex func(key string) bool)
}

// Half of the records move first, and the other half later.
func isEven(key string) bool { return key[len(key)-1]%2 == 0 }

func phases(indexFirst bool) []phase {
	index := phase{"the indexes have moved", func(t *testing.T, r *resharding, isIndex func(string) bool) {
		t.Helper()
		r.move(t, isIndex)
	}}
	records := []phase{
		{"half of the records have moved", func(t *testing.T, r *resharding, isIndex func(string) bool) {
			t.Helper()
			r.move(t, func(key string) bool { return !isIndex(key) && isEven(key) })
		}},
		{"the records have moved", func(t *testing.T, r *resharding, isIndex func(string) bool) {
			t.Helper()
			r.move(t, func(key string) bool { return !isIndex(key) })
		}},
	}

	all := []phase{{"nothing has moved", func(*testing.T, *resharding, func(string) bool) {}}}
	if indexFirst {
		all = append(append(all, index), records...)
	} else {
		all = append(append(all, records...), index)
	}

	return append(all, phase{"the slots are handed over", func(t *testing.T, r *resharding, _ func(string) bool) {
		t.Helper()
		r.finish(t)
	}})
}

// F88 and F89: with a user who has exactly the documented access.
func TestF88F89EveryOperationWorksWhileItsSlotMoves(t *testing.T) {
	t.Parallel()

	for order, indexFirst := range map[string]bool{"the indexes first": true, "the indexes last": false} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()

			cluster := redistest.NewCluster(t)
			needed := documented(t)
			slot := aSlot()

			allow(t, cluster.Nodes(), "service", needed.keys, slices.Concat(needed.commands, needed.cluster))

			s := open(t, strings.Replace(clusterURL(cluster), "://", "://service:secret@", 1))
			all := operationsOn(func() store.Claim { return claimIn(slot) })
			moments := phases(indexFirst)

			// Records that move, for the operations of each phase.
			ready := make(map[string]store.Claim)

			for _, moment := range moments {
				for _, op := range all {
					ready[moment.name+op.name] = op.prepare(t, s)
				}
			}

			indexes := indexesOf(t, cluster)
			if len(indexes) == 0 {
				t.Fatal("there is no index, so that this proves nothing")
			}

			moving := reshard(t, cluster, slot)

			for _, moment := range moments {
				moment.next(t, moving, func(key string) bool { return slices.Contains(indexes, key) })

				for _, op := range all {
					claim := ready[moment.name+op.name]
					if err := runs(t, s, op, claim); err != nil {
						t.Errorf("%s: %s on a record that moves: %v", moment.name, op.name, err)
					}

					if err := runs(t, s, op, op.prepare(t, s)); err != nil {
						t.Errorf("%s: %s on a new record: %v", moment.name, op.name, err)
					}
				}

				if err := isListed(t, s, slot); err != nil {
					t.Errorf("%s: %v", moment.name, err)
				}
			}
		})
	}
}

// runs makes an operation and checks its record. It returns an error if that fails.
func runs(t *testing.T, s *redisstore.Store, op operation, claim store.Claim) error {
	t.Helper()

	res, err := op.run(t.Context(), s, claim)
	if err != nil || !res.Applied {
		return fmt.Errorf("got %v, %v, %w", res.Applied, res.Record.State, err)
	}

	// A duplicate of whatever it was.
	res, err = s.Claim(t.Context(), claimOn(claim.Key))
	if err != nil || res.Applied || res.Record.State != op.state {
		return fmt.Errorf("a duplicate gets %v, %v, %w", res.Applied, res.Record.State, err)
	}

	return nil
}

// isListed checks that a record whose outcome becomes unknown is listed.
func isListed(t *testing.T, s *redisstore.Store, slot int) error {
	t.Helper()

	claim := claimIn(slot)

	if _, err := s.Claim(t.Context(), claim); err != nil {
		return fmt.Errorf("a claim: %w", err)
	}

	if _, err := s.Hold(t.Context(), hold(claim)); err != nil {
		return fmt.Errorf("a hold: %w", err)
	}

	found := false

	for listed, err := range s.ListUnknown(t.Context()) {
		if err != nil {
			return fmt.Errorf("a list: %w", err)
		}

		found = found || listed.Key == claim.Key
	}

	if !found {
		return errors.New("a list lacks a record whose outcome is unknown")
	}

	return nil
}

// keysIn are keys of calls whose records are in some slots of a cluster, and the slots. The first key decides the slots.
func keysIn(t *testing.T, slots, keys int) (found []string, in []int) {
	t.Helper()

	learning := &keyLearner{Store: memstore.New()}
	e := newEngine(t, learning)

	for i := 0; len(found) < keys; i++ {
		key := "order-" + strconv.Itoa(i)
		c := callOf("7 EUR")
		c.Key = key

		if _, err := e.Do(t.Context(), c, func(context.Context) ([]byte, error) { return nil, nil }); err == nil {
			t.Fatal("a store that answers nothing has let a call run")
		}

		slot := redistest.Slot(stored(learning.last))
		if len(in) < slots && !slices.Contains(in, slot) {
			in = append(in, slot)
		}

		if slices.Contains(in, slot) {
			found = append(found, key)
		}
	}

	return found, in
}

// keyLearner records the keys of records, and runs no operation.
type keyLearner struct {
	store.Store

	last store.Key
}

func (l *keyLearner) Claim(_ context.Context, op store.Claim) (store.Result, error) {
	l.last = op.Key

	return store.Result{}, store.ErrFull
}

func TestF88UnderLoadNothingFailsAndNothingRunsTwiceWhileManySlotsMove(t *testing.T) {
	t.Parallel()

	const (
		slots   = 40
		keys    = 200
		callers = 12
	)

	cluster := redistest.NewCluster(t)
	calls, in := keysIn(t, slots, keys)

	engines := make([]*onlyonce.Engine, 2)
	stores := make([]*redisstore.Store, len(engines))

	for i := range engines { // with a client each, as processes have
		stores[i] = open(t, clusterURL(cluster))
		engines[i] = newEngine(t, stores[i], onlyonce.WithPolicy(onlyonce.Policy{
			Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen, MaxWait: patience,
		}))
	}

	// Some have run before, and some outcomes are unknown, so that there are indexes.
	runs := make([]atomic.Int64, keys)
	once := func(who int, i int) string {
		c := callOf("7 EUR")
		c.Key = calls[i]

		return callAs(t, engines[who%len(engines)], c, func() { runs[i].Add(1) })
	}

	for i := range keys / 4 {
		if got := once(0, i); got != "executed" {
			t.Fatalf("before anything moves: %s", got)
		}
	}

	for range 4 {
		claim := newClaim()
		start(t, stores[0], claim)

		res, err := stores[0].Hold(t.Context(), hold(claim))
		must(t, res, err)
	}

	moving := reshard(t, cluster, in...)

	var (
		wg   sync.WaitGroup
		over = make(chan struct{})
	)

	for who := range callers {
		wg.Go(func() {
			for n := range keys { // all workers use all keys, each in its own order
				i := (n*7 + who*(keys/callers)/2) % keys
				if got := once(who, i); got != "executed" && got != "replayed" {
					t.Errorf("a call while its slot moves: %s", got)
				}
			}
		})
	}

	var listing sync.WaitGroup

	listing.Go(func() {
		for {
			n := 0

			for _, err := range stores[1].ListUnknown(t.Context()) {
				if err != nil {
					t.Errorf("a list while slots move: %v", err)

					return
				}

				n++
			}

			if n < 4 {
				t.Errorf("a list while slots move has %d records, want 4", n)
			}

			select {
			case <-over:
				return
			default:
			}
		}
	})

	for _, m := range moving.migrations {
		for _, key := range m.Keys() {
			m.Move(key)
		}
	}

	moving.finish(t)
	wg.Wait()
	close(over)
	listing.Wait()

	for i := range runs {
		if n := runs[i].Load(); n != 1 {
			t.Errorf("the call %s has run %d times", calls[i], n)
		}

		if got := once(0, i); got != "replayed" {
			t.Errorf("a duplicate after the slots have moved: %s", got)
		}
	}
}
