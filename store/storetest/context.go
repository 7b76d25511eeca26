package storetest

import (
	"context"

	"github.com/onlyonce-go/onlyonce/store"
)

// contextChecks send every operation under a cancelled context. It may fail or take effect. Afterwards the same operation under a live
// context must end as if it had been the only one.
func contextChecks() []check {
	all := []cell{
		{found: absent, op: claims, by: stranger, becomes: store.Running, applied: true, risen: 1, fence: thisFence},
		{found: absent, op: releases, by: stranger, becomes: store.Released, applied: true, risen: 1},
		{found: alive, op: renews, by: owner, becomes: store.Running, applied: true},
		{found: alive, op: completes, by: owner, becomes: store.Completed, applied: true},
		{found: alive, op: releases, by: owner, becomes: store.Released, applied: true},
		{found: alive, op: holds, by: owner, becomes: store.Unknown, applied: true},
		{found: released, op: claims, by: stranger, becomes: store.Running, applied: true, risen: 1, fence: thisFence},
		{found: completed, op: completesOther, by: owner, becomes: store.Completed},
	}
	checks := make([]check, 0, len(all))

	for _, c := range all {
		c.under, c.rule = atLeastOnce, cancelled
		checks = append(checks, check{
			string(c.op) + " leaves " + string(c.found) + " as it is or takes effect",
			func(x *env) { contextCancelled(x, c) },
		})
	}

	return checks
}

func contextCancelled(x *env, c cell) {
	by, before := x.arrange(c.found, store.AtLeastOnce)
	if c.by == stranger {
		by = x.newClaim()
		by.Fence = before.Fence
	}

	dead, cancel := context.WithCancel(x.ctx)
	cancel()

	probe := &probe{}
	under := &env{tb: probe, config: x.config, ctx: dead, store: x.store, key: x.key}
	probe.watch(func() { c.perform(under, by) })

	after := x.read().Record
	effect := c.want(by, &before)
	untouched := meaning(&after, &before)

	if untouched != "" && meaning(&after, &effect) != "" {
		x.brokenf(cancelled, "%s under a cancelled context did something else than its effect: %s", c.does(), untouched)

		return
	}

	if len(probe.failures) == 0 && meaning(&after, &effect) != "" {
		x.brokenf(cancelled, "%s under a cancelled context returned no error and had no effect", c.does())
	}

	c.compare(x, by, &before, c.perform(x, by))
}
