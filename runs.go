package onlyonce

import (
	"iter"
	"sync"
)

// runs are the runs of the engine that are under way. They are in linked lists, so adding a run allocates no memory.
type runs struct{ shards [16]runShard }

type runShard struct {
	mu    sync.Mutex
	first *run
}

// siblings are the neighbours of a run in its list, guarded by its shard.
type siblings struct{ before, after *run }

func (rs *runs) shard(r *run) *runShard { return &rs.shards[r.claim.Key[2]%byte(len(rs.shards))] }

func (rs *runs) add(r *run) {
	sh := rs.shard(r)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	r.siblings.after = sh.first
	if sh.first != nil {
		sh.first.siblings.before = r
	}

	sh.first = r
}

func (rs *runs) remove(r *run) {
	sh := rs.shard(r)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if r.siblings.before != nil {
		r.siblings.before.siblings.after = r.siblings.after
	} else {
		sh.first = r.siblings.after
	}

	if r.siblings.after != nil {
		r.siblings.after.siblings.before = r.siblings.before
	}

	r.siblings = siblings{}
}

// cancel cancels the context of every run with a cause, and returns the number of runs.
func (rs *runs) cancel(cause error) (n int) {
	for r := range rs.all() {
		r.cancel(cause)

		n++
	}

	return n
}

// all visits the runs, without holding a lock. Runs that begin or end meanwhile may be visited or not.
func (rs *runs) all() iter.Seq[*run] {
	return func(visit func(*run) bool) {
		for i := range rs.shards {
			for _, r := range rs.shards[i].all() {
				if !visit(r) {
					return
				}
			}
		}
	}
}

func (sh *runShard) all() (all []*run) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	for r := sh.first; r != nil; r = r.siblings.after {
		all = append(all, r)
	}

	return all
}
