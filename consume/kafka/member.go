package oncekafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is a consumer's membership in its group.
type member struct {
	*Consumer

	ctx     context.Context //nolint:containedctx // of Run, for partitions that come and go during it
	working sync.WaitGroup  // the partitions that work, also those that have gone

	mu         sync.Mutex
	partitions map[place]*partition
}

// place is the name of a partition.
type place struct {
	topic  string
	number int32
}

func (p place) only() map[string][]int32 { return map[string][]int32{p.topic: {p.number}} }

func newMember(ctx context.Context, c *Consumer) *member {
	return &member{Consumer: c, ctx: ctx, partitions: make(map[place]*partition)}
}

// assigned begins partitions.
func (m *member) assigned(client *kgo.Client, all map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()

	for topic, numbers := range all {
		for _, number := range numbers {
			p := newPartition(m, client, place{topic, number})
			m.partitions[p.place] = p
			m.working.Go(p.work)
		}
	}

	client.ResumeFetchPartitions(all) // they may have been paused when this member had them before
}

// hand gives records to their partition.
func (m *member) hand(client *kgo.Client, records []*kgo.Record) {
	at := place{records[0].Topic, records[0].Partition}

	m.mu.Lock()
	p := m.partitions[at]
	m.mu.Unlock()

	if p != nil && p.queue.add(records) > m.backlog {
		client.PauseFetchPartitions(at.only())

		// The partition may have emptied the queue meanwhile, and has then resumed too early.
		if p.queue.len() == 0 {
			client.ResumeFetchPartitions(at.only())
		}
	}
}

// revoked ends partitions that go to another member, and commits what is done.
func (m *member) revoked(ctx context.Context, client *kgo.Client, all map[string][]int32) {
	ended := m.end(all)

	timer := time.NewTimer(m.revokeWait)
	defer timer.Stop()

	for _, p := range ended {
		select {
		case <-p.ended:
		case <-timer.C:
			timer.Reset(0) // for the others, too
		}
	}

	if err := client.CommitMarkedOffsets(ctx); err != nil {
		m.report(ctx, Report{Err: err})
	}
}

// lost ends partitions that another member may have already.
func (m *member) lost(all map[string][]int32) { m.end(all) }

// end lets partitions begin no more records.
func (m *member) end(all map[string][]int32) (ended []*partition) {
	m.mu.Lock()
	defer m.mu.Unlock()

	for topic, numbers := range all {
		for _, number := range numbers {
			at := place{topic, number}

			if p := m.partitions[at]; p != nil {
				p.stop()
				delete(m.partitions, at)

				ended = append(ended, p)
			}
		}
	}

	return ended
}

// committed reports a commit that has failed. The client commits the offsets again with the next ones.
func (m *member) committed(resp *kmsg.OffsetCommitResponse, err error) {
	if err == nil {
		err = refused(resp)
	}

	if err != nil && !errors.Is(err, context.Canceled) {
		m.report(m.ctx, Report{Err: fmt.Errorf("oncekafka: committing offsets: %w", err)})
	}
}

// refused returns why the group has not taken an offset, or nil.
func refused(resp *kmsg.OffsetCommitResponse) error {
	for i := range resp.Topics {
		topic := &resp.Topics[i]

		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("%s/%d: %w", topic.Topic, p.Partition, err)
			}
		}
	}

	return nil
}
