package memstore

import "github.com/onlyonce-go/onlyonce/store"

// expiry says when a record is due. It is stale once the record has another expiry.
type expiry struct {
	at  int64 // nanoseconds since 1970
	key store.Key
}

// expiryHeap is a binary heap, the earliest first. Retentions are nearly constant, so that a new expiry is nearly always
// the latest and stays where it is appended.
type expiryHeap []expiry

// growth is how many places a heap gets at a time, and an eighth of what it has. It is copied more often than append would
// do, which costs little, and has fewer places that nobody uses, which would stay for long.
const growth = 16

func (h *expiryHeap) push(e expiry) {
	heap := *h
	if len(heap) == cap(heap) {
		heap = append(make(expiryHeap, 0, len(heap)+len(heap)/8+growth), heap...)
	}

	heap = append(heap, e)
	*h = heap

	for i := len(heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if heap[parent].at <= heap[i].at {
			return
		}

		heap[parent], heap[i] = heap[i], heap[parent]
		i = parent
	}
}

func (h *expiryHeap) pop() expiry {
	heap := *h
	first := heap[0]
	last := len(heap) - 1
	heap[0] = heap[last]
	heap = heap[:last]
	*h = heap

	for i := 0; ; {
		least := i
		if left := 2*i + 1; left < last && heap[left].at < heap[least].at {
			least = left
		}

		if right := 2*i + 2; right < last && heap[right].at < heap[least].at {
			least = right
		}

		if least == i {
			return first
		}

		heap[least], heap[i] = heap[i], heap[least]
		i = least
	}
}
