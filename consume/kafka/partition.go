package oncekafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onlyonce-go/onlyonce/consume"
)

// partition handles the records of one partition, one after the other, as long as this member has it.
type partition struct {
	place

	member *member
	client *kgo.Client
	queue  *queue
	ctx    context.Context //nolint:containedctx // ends when the partition goes
	stop   context.CancelFunc
	ended  chan struct{}
}

func newPartition(m *member, client *kgo.Client, at place) *partition {
	p := &partition{place: at, member: m, client: client, queue: newQueue(), ended: make(chan struct{})}
	p.ctx, p.stop = context.WithCancel(m.ctx)

	return p
}

// work handles records until the partition goes.
func (p *partition) work() {
	defer close(p.ended)
	defer p.stop()

	for {
		r, left := p.queue.next(p.ctx)
		if r == nil {
			return
		}

		if left == 0 {
			p.client.ResumeFetchPartitions(p.only())
		}

		if !p.finish(r) {
			return
		}

		// Without effect if the partition has gone: the client marks only what it consumes, and only forward.
		p.client.MarkCommitRecords(r)
	}
}

// finish handles a record until it is acknowledged or a dead letter. It returns false if the partition goes before.
func (p *partition) finish(r *kgo.Record) bool {
	for deliveries := 1; p.ctx.Err() == nil; deliveries++ {
		m := p.member.message(r, deliveries)
		decision := p.member.handle(p.ctx, m)

		if decision.Action == consume.DeadLetter {
			return p.bury(r, m, decision)
		}

		p.member.report(p.ctx, Report{Message: m, Decision: decision})

		if decision.Action == consume.Ack {
			return true
		}

		wait(p.ctx, decision.Delay)
	}

	return false
}

// deadLetterDelay is how long a record waits whose dead letter was refused.
const deadLetterDelay = 10 * time.Second

// bury makes a record a dead letter. If that is refused, it tries again until the partition goes. It does not call the handler again, which
// could then run more often than it may. The result is whether the record is done. A dead letter that is being produced when the partition
// goes is produced still, until the client is closed.
func (p *partition) bury(r *kgo.Record, m *consume.Message, decision consume.Decision) bool {
	dead := p.member.deadLetters

	for {
		err := p.produce(letters(dead, r, m, decision))
		if err != nil {
			err = fmt.Errorf("oncekafka: producing a dead letter to %s: %w", dead, err)
		}

		p.member.report(p.ctx, Report{Message: m, Decision: decision, Err: err})

		if err == nil {
			return true
		}

		wait(p.ctx, p.member.retry)

		if p.ctx.Err() != nil {
			return false
		}
	}
}

// produce produces the first letter that is not too large for the client and for the topic.
func (p *partition) produce(letters []*kgo.Record) (err error) {
	for _, letter := range letters {
		err = p.client.ProduceSync(context.WithoutCancel(p.ctx), letter).FirstErr()
		if !errors.Is(err, kerr.MessageTooLarge) {
			break
		}
	}

	return err
}

// wait waits for a time, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}

	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
