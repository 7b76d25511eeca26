package memstore

// expiry is the time at which the record in a place expires.
type expiry struct {
	at    int64 // nanoseconds since 1970
	place place
}

// expiries is a binary heap of the records that expire, with the earliest first. Retentions are nearly constant, so a new expiry is nearly
// always the latest and stays at the end.
//
//   - The heap has each record that expires exactly once, and no other record.
//   - The node of the record has its position in the heap, so that a changed expiry moves and leaves nothing behind.
type expiries struct {
	heap array[expiry]
}

// first returns the earliest expiry. It returns false if no record expires.
func (x *expiries) first() (expiry, bool) {
	if x.heap.len == 0 {
		return expiry{}, false
	}

	return *x.heap.at(0), true
}

// set sets the expiry of the record in a place. Zero means never.
func (x *expiries) set(s *slabs, p place, at int64) {
	n := s.node(p)

	switch {
	case at == 0 && n.due == 0:
	case at == 0:
		x.remove(s, n)
	case n.due == 0:
		x.heap.push(expiry{})
		x.settle(s, x.heap.len-1, expiry{at, p})
	default:
		x.settle(s, n.due-1, expiry{at, p})
	}
}

func (x *expiries) remove(s *slabs, n *node) {
	i := n.due - 1
	n.due = 0

	if last := x.heap.pop(); i < x.heap.len {
		x.settle(s, i, last)
	}
}

// settle moves an expiry from position i to where the heap is in order. It overwrites the expiry at i.
func (x *expiries) settle(s *slabs, i uint32, e expiry) {
	for i > 0 {
		above := *x.heap.at((i - 1) / 2)
		if above.at <= e.at {
			break
		}

		x.put(s, i, above)
		i = (i - 1) / 2
	}

	for {
		child := x.earlierChild(i)
		if child >= x.heap.len || x.heap.at(child).at >= e.at {
			break
		}

		x.put(s, i, *x.heap.at(child))
		i = child
	}

	x.put(s, i, e)
}

// earlierChild returns the position of the earlier child of i. If i has no child, the position is not in the heap.
func (x *expiries) earlierChild(i uint32) uint32 {
	left, right := 2*i+1, 2*i+2
	if right < x.heap.len && x.heap.at(right).at < x.heap.at(left).at {
		return right
	}

	return left
}

func (x *expiries) put(s *slabs, i uint32, e expiry) {
	*x.heap.at(i) = e
	s.node(e.place).due = i + 1
}
