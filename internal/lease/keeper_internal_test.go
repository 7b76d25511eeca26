package lease

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type nobody struct{}

func (nobody) Renew(context.Context) (Answer, error) { return Renewed, nil }
func (nobody) End(Reason)                            {}
func (nobody) Notice(Notice, error)                  {}

// What has stopped is not kept, and an idle keeper is not woken.
func TestKeeperKeepsNothingAndRestsWhenAllLeasesHaveStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			k  Keeper
			wg sync.WaitGroup
		)

		for i := range 1_000 {
			wg.Go(func() {
				var l Lease

				now := time.Now()
				l.Start(t.Context(), &k, nobody{}, Terms{Length: time.Minute, Anchor: now, RunEnd: now.Add(time.Hour)})
				time.Sleep(time.Duration(i%7) * time.Second)
				l.Stop()
			})
		}

		wg.Wait()

		for i := range k.queues {
			q := &k.queues[i]
			if len(q.leases) > 0 {
				t.Errorf("%d leases are left", len(q.leases))
			}

			for _, l := range q.leases[:cap(q.leases)] {
				if l != nil {
					t.Error("a lease that has stopped is kept")
				}
			}
		}

		time.Sleep(time.Minute)
		synctest.Wait()

		if !k.rings.IsZero() {
			t.Error("the timer of an idle keeper is set")
		}
	})
}

// counted renews, and sends each time to its channel.
type counted struct {
	nobody

	renewals chan struct{}
}

func (c counted) Renew(ctx context.Context) (Answer, error) {
	select {
	case c.renewals <- struct{}{}:
		return Renewed, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// A step of the machine's clock must not move what a lease does next. A test cannot step that clock, but times without a monotonic reading
// would follow it.
func TestLeaseMeasuresOnTheMonotonicClock(t *testing.T) {
	t.Parallel()

	var (
		k     Keeper
		l     Lease
		owner = counted{renewals: make(chan struct{})}
		now   = time.Now()
	)

	l.Start(t.Context(), &k, owner, Terms{Length: 30 * time.Millisecond, Anchor: now, RunEnd: now.Add(time.Hour)})
	<-owner.renewals
	<-owner.renewals // the answer to the first renewal has been taken in
	l.Stop()

	for name, at := range map[string]time.Time{
		"the anchor": l.anchor, "the next renewal": l.renewAt, "the end of the authority": l.authorityEnd(),
	} {
		if !at.After(now) || !strings.Contains(at.String(), " m=") {
			t.Errorf("%s is %v: must be after %v and have a monotonic reading", name, at, now)
		}
	}
}

// BenchmarkLease starts and stops a lease that has nothing to do, next to many that go on.
func BenchmarkLease(b *testing.B) {
	var k Keeper

	start := func(l *Lease) {
		now := time.Now()
		l.Start(b.Context(), &k, nobody{}, Terms{Length: time.Hour, Anchor: now, RunEnd: now.Add(time.Hour)})
	}

	others := make([]Lease, 1_000)
	for i := range others {
		start(&others[i])
	}

	defer func() {
		for i := range others {
			others[i].Stop()
		}
	}()

	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			var l Lease

			start(&l)
			l.Stop()
		}
	})
}
