//go:build unix

package oncekafka_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncekafka "github.com/onlyonce-go/onlyonce/consume/kafka"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Two partitions, whose first records are being handled when a second member takes one of them.
func TestARunGoesOnWhileItsPartitionGoesToAnotherMember(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 2)
	st := memstore.New()

	var (
		done, orders effects
		seen         reports
		entered      sync.WaitGroup
	)

	entered.Add(2)

	finish := make(chan struct{})
	first := handler(t, engine(t, st, onlyonce.Policy{}), consume.ByID, func(_ context.Context, m *consume.Message) error {
		if strings.HasPrefix(m.ID, "1") {
			entered.Done()
			<-finish
		}

		done.add(m.ID)
		orders.add(m.ID)

		return nil
	})
	second := handler(t, engine(t, st, onlyonce.Policy{}), consume.ByID, func(_ context.Context, m *consume.Message) error {
		done.add(m.ID)
		orders.add(m.ID)

		return nil
	})

	b.produce(0, "1/0", "2/0")
	b.produce(1, "1/1", "2/1")
	start(t, b.consumer(first, oncekafka.WithRevokeWait(0)))
	entered.Wait()

	start(t, b.consumer(second, oncekafka.WithReport(seen.add)))
	seen.wait(t, "finding it in progress", func(r oncekafka.Report) bool { return r.Decision.Cause == consume.CauseInProgress })
	close(finish)
	seen.wait(t, "the replay", replayed)
	b.waitCommitted(0, 2)
	b.waitCommitted(1, 2)
	done.checkAnyOrder(t, "1/0", "2/0", "1/1", "2/1")

	for _, partition := range []string{"0", "1"} {
		var order []string

		for _, id := range orders.all {
			if strings.HasSuffix(id, partition) {
				order = append(order, id[:1])
			}
		}

		if got := strings.Join(order, ""); got != "12" {
			t.Errorf("the order of partition %s is %s", partition, got)
		}
	}
}

// A partition that goes waits for the run, so the next member never sees its record.
func TestARunThatEndsInTimeIsCommittedBeforeItsPartitionGoes(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 2)
	st := memstore.New()

	var (
		seen    reports
		entered sync.WaitGroup
	)

	entered.Add(2)

	finish := make(chan struct{})
	revoking := make(chan struct{})
	first := handler(t, engine(t, st, onlyonce.Policy{}), consume.ByID, func(_ context.Context, m *consume.Message) error {
		if !strings.HasPrefix(m.ID, "later") {
			entered.Done()
			<-finish
		}

		return nil
	})

	b.produce(0, "0")
	b.produce(1, "1")

	once := sync.OnceFunc(func() { close(revoking) })
	start(t, b.consumer(func(ctx context.Context, m *consume.Message) consume.Decision {
		// The context of a record ends when its partition goes.
		defer context.AfterFunc(ctx, once)()

		return first(ctx, m)
	}, oncekafka.WithRevokeWait(servertest.Patience)))
	entered.Wait()

	start(t, b.consumer(handler(t, engine(t, st, onlyonce.Policy{}), consume.ByID, func(context.Context, *consume.Message) error {
		return nil
	}), oncekafka.WithReport(seen.add)))

	<-revoking
	close(finish)
	b.waitCommitted(0, 1)
	b.waitCommitted(1, 1)
	b.produce(0, "later-0")
	b.produce(1, "later-1")
	b.waitCommitted(0, 2)
	b.waitCommitted(1, 2)
	seen.wait(t, "a record of the second member", func(oncekafka.Report) bool { return true })

	for _, r := range seen.all {
		if r.Message.ID == "0" || r.Message.ID == "1" {
			t.Errorf("the second member got %s", r.Message.Position)
		}
	}
}

func TestEveryRecordActsOnceWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()

	const partitions, records = 4, 40

	b := newBroker(t, partitions)
	st := memstore.New()

	var (
		done effects
		ids  = make([]string, 0, partitions*records)
	)

	member := func() func() {
		return start(t, b.consumer(handler(t, engine(t, st, onlyonce.Policy{}), consume.ByID, func(_ context.Context, m *consume.Message) error {
			done.add(m.ID)

			return nil
		}), oncekafka.WithRevokeWait(0)))
	}

	var stops []func()

	for i := range records {
		for p := range int32(partitions) {
			ids = append(ids, fmt.Sprintf("%d/%d", p, i))
			b.produce(p, ids[len(ids)-1])
		}

		switch i % 10 {
		case 0:
			stops = append(stops, member())
		case 5:
			if len(stops) > 1 {
				stops[0]()
				stops = stops[1:]
			}
		}
	}

	for p := range int32(partitions) {
		b.waitCommitted(p, records)
	}

	done.checkAnyOrder(t, ids...)
}
