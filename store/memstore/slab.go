package memstore

import "math/bits"

// place is where a record is in its shard. A record stays in its place until it is removed. Then another record may take the place.
type place uint32

// nowhere is the place of no record.
const nowhere place = 0

const (
	// slabSize is how many places a slab has. 48 entries, and 48 nodes, fill a size class of the runtime. The fewer slabs there are, the
	// fewer addresses the collector has to follow.
	slabSize = 48
	// textsSize is how many texts are together. 12 texts are 480 bytes. The collector reads objects with addresses several times as fast if
	// they have at most 512 bytes.
	textsSize = 12

	allTaken = 1<<slabSize - 1
)

// slab keeps the records of some places. Only its texts have pointers, so the collector passes over the rest. Entries and nodes are apart
// because an operation that looks for a record reads the nodes of others.
type slab struct {
	taken   uint64 // a bit for each place that is taken
	nodes   *[slabSize]node
	entries *[slabSize]entry
	texts   [slabSize / textsSize]*[textsSize]text
}

// node is what the index and the expiries know about a place.
type node struct {
	hash uint32 // of the key
	next place  // the next place of the same bucket of the index, or nowhere
	due  uint32 // the position in the heap of the expiries, plus one; 0 if the record does not expire
}

// slabs hand out the places of a shard.
//
//   - A place that is not taken has a zero node, a zero entry and a zero text.
//   - A slab is open, exactly once, if it has a place that is not taken.
//   - A slab of which no place is taken has no memory. One such memory is spare, so that a single record which comes and goes does not
//     allocate.
//
// Records of about the same age share slabs and expire together, so that slabs become free as a whole.
type slabs struct {
	all   []slab
	open  []uint32 // a stack of numbers of slabs
	spare slab
}

func (s *slabs) node(p place) *node { return &s.all[p/slabSize].nodes[p%slabSize] }

func (s *slabs) entry(p place) *entry { return &s.all[p/slabSize].entries[p%slabSize] }

func (s *slabs) text(p place) *text {
	return &s.all[p/slabSize].texts[p%slabSize/textsSize][p%textsSize]
}

// take returns a place that is not taken, and takes it.
func (s *slabs) take() place {
	if len(s.open) == 0 {
		s.open = append(s.open, uint32(len(s.all))) //nolint:gosec // memory ends long before
		s.all = append(s.all, slab{})
	}

	number := s.open[len(s.open)-1]
	sl := &s.all[number]

	if sl.taken == 0 {
		*sl = s.memory(number)
	}

	i := bits.TrailingZeros64(^sl.taken)
	sl.taken |= 1 << i

	if sl.taken == allTaken {
		s.open = s.open[:len(s.open)-1]
	}

	return place(number*slabSize + uint32(i)) //nolint:gosec // below slabSize
}

// memory returns the memory of a slab of which no place is taken.
func (s *slabs) memory(number uint32) slab {
	sl := s.spare
	s.spare = slab{}

	if sl.nodes == nil {
		sl = slab{nodes: new([slabSize]node), entries: new([slabSize]entry)}
		for i := range sl.texts {
			sl.texts[i] = new([textsSize]text)
		}
	}

	if number == 0 {
		sl.taken = 1 // nobody gets the place nowhere
	}

	return sl
}

// give gives a place back. It forgets all that was kept there.
func (s *slabs) give(p place) {
	*s.node(p), *s.entry(p), *s.text(p) = node{}, entry{}, text{}

	number := uint32(p / slabSize)
	sl := &s.all[number]

	if sl.taken == allTaken {
		s.open = append(s.open, number)
	}

	sl.taken &^= 1 << (p % slabSize)

	if sl.taken == 0 {
		s.spare = *sl
		*sl = slab{}
	}
}

// each calls visit for every place that is taken in the slabs from number on, up to limit slabs. It returns the number of the slab that
// follows, and false if there is none.
func (s *slabs) each(number, limit int, visit func(p place)) (next int, more bool) {
	end := min(number+limit, len(s.all))

	for ; number < end; number++ {
		for taken := s.all[number].taken; taken != 0; taken &= taken - 1 {
			if p := place(number*slabSize + bits.TrailingZeros64(taken)); p != nowhere { //nolint:gosec // it was handed out
				visit(p)
			}
		}
	}

	return end, end < len(s.all)
}
