package journal

import "encoding/binary"

// operation is one record that is to be written.
type operation struct {
	kind byte
	id   uint64
	body []byte
}

// batch is what one write contains, and one sync makes durable.
//
// There is no goroutine that writes. The first caller that finds nobody writing leads: it writes what is queued. Callers that come
// meanwhile queue. When the leader has done, it wakes one of them to lead the next batch.
type batch struct {
	operations []operation
	durable    bool          // somebody waits for the sync
	lead       chan struct{} // one of those who wait is to lead
	done       chan struct{}
	err        error // once done is closed
}

func appendRemoval(id uint64) []byte { return binary.AppendUvarint(nil, id) }

// commit queues an operation, and waits until it is on the disk if it is durable. The caller holds the lock, and commit frees it.
func (s *fileStore) commit(op operation, durable bool) error {
	b := s.enqueue(op)
	b.durable = b.durable || durable
	leads := !s.busy
	s.busy = true
	s.mu.Unlock()

	if leads {
		s.lead()
	}

	if !durable {
		return nil
	}

	select {
	case <-b.done:
	case <-b.lead:
		s.lead()
		<-b.done
	}

	return b.err
}

func (s *fileStore) enqueue(operations ...operation) *batch {
	if s.queue == nil {
		s.queue = &batch{lead: make(chan struct{}, 1), done: make(chan struct{})}
	}

	s.queue.operations = append(s.queue.operations, operations...)

	return s.queue
}

// lead writes the batch that is queued, and then lets somebody else lead. If nobody waits for the next batch, it writes that, too.
func (s *fileStore) lead() {
	for {
		s.mu.Lock()
		b := s.queue
		s.queue = nil
		s.mu.Unlock()

		failure := s.disk.write(b, s.limits.mostFile(), s.bodies)
		s.settle(b, failure)

		if failure == nil {
			s.disk.compact(s.limits.compact, s.bodies)
		}

		s.mu.Lock()

		switch {
		case s.queue == nil, failure != nil && !s.queue.durable: // with removals that the next writer tries again
			s.busy = false

			if s.closed {
				close(s.idle)
			}

			s.mu.Unlock()

			return
		case s.queue.durable:
			s.queue.lead <- struct{}{}
			s.mu.Unlock()

			return
		default:
			s.mu.Unlock()
		}
	}
}

// settle applies a batch that is on the disk, or gives back what a failed one has reserved, and wakes its callers.
func (s *fileStore) settle(b *batch, failure error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, op := range b.operations {
		switch {
		case op.kind == kindCall && failure == nil:
			s.live[op.id] = op.body
		case op.kind == kindCall:
			s.release(op.body)
		case failure == nil:
			if body, ok := s.live[op.id]; ok {
				delete(s.live, op.id)
				s.release(body)
			}
		case !s.closed:
			s.enqueue(op) // the next write removes the call
		}
	}

	b.err = failure
	close(b.done)
}

// release gives back the room of a call.
func (s *fileStore) release(body []byte) {
	s.entries--
	s.bytes -= recordSize(body)
}
