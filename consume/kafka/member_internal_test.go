package oncekafka

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onlyonce-go/onlyonce/consume"
)

func idleMember(t *testing.T, revokeWait time.Duration) (*member, *kgo.Client) {
	t.Helper()

	client, err := kgo.NewClient() // it makes no connection before it needs one
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(client.Close)

	return newMember(t.Context(), &Consumer{
		handle:     func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} },
		revokeWait: revokeWait, report: func(context.Context, Report) {},
	}), client
}

// A client keeps a pause although the partition has gone.
func TestAPartitionThatComesBackIsFetchedAgain(t *testing.T) {
	t.Parallel()

	m, client := idleMember(t, 0)
	all := map[string][]int32{"orders": {0, 1}}

	client.PauseFetchPartitions(all)
	m.assigned(client, all)

	if paused := client.PauseFetchPartitions(nil); len(paused["orders"]) > 0 {
		t.Errorf("%v are paused", paused)
	}

	m.lost(all)
	m.working.Wait()
}

// The group takes a member for dead that waits for longer.
func TestARevokeWaitsOnceForAllItsPartitions(t *testing.T) {
	t.Parallel()

	m, client := idleMember(t, time.Millisecond)
	all := map[string][]int32{"orders": {0, 1, 2}}

	for _, number := range all["orders"] {
		p := newPartition(m, client, place{"orders", number}) // whose handler never ends
		m.partitions[p.place] = p
	}

	m.revoked(t.Context(), client, all)

	if len(m.partitions) > 0 {
		t.Errorf("there are %d partitions still", len(m.partitions))
	}
}
