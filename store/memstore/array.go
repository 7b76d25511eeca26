package memstore

// chunk is how many elements are allocated together.
const chunk = 128

// array is a list that grows and shrinks at its end. Its chunks never move, so a push copies no elements. Elements have no pointers, so the
// garbage collector skips them.
type array[T any] struct {
	chunks []*[chunk]T
	len    uint32
}

func (a *array[T]) at(i uint32) *T { return &a.chunks[i/chunk][i%chunk] }

func (a *array[T]) push(v T) {
	if a.len == uint32(len(a.chunks))*chunk { //nolint:gosec // a.len is a uint32
		a.chunks = append(a.chunks, new([chunk]T))
	}

	a.len++
	*a.at(a.len - 1) = v
}

// pop removes the last element and returns it. One empty chunk stays, so that alternating pushes and pops do not allocate.
func (a *array[T]) pop() T {
	a.len--
	v := *a.at(a.len)

	if last := len(a.chunks) - 1; uint32(last) > a.len/chunk+1 { //nolint:gosec // not negative
		a.chunks[last] = nil
		a.chunks = a.chunks[:last]
	}

	return v
}
