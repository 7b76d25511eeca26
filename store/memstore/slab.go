package memstore

import "math/bits"

// place is the number of a record's memory in its shard. A record keeps its place until it is removed. Then the place may be reused.
type place uint32

// nowhere is the place of no record.
const nowhere place = 0

const (
	// slabSize is the number of places in a slab. 48 entries, and 48 nodes, fill a size class of the runtime. Fewer slabs mean fewer addresses
	// for the garbage collector.
	slabSize = 48
	// textsSize is the number of texts in one object: 12 texts are 480 bytes. The garbage collector reads objects with pointers several times
	// faster up to 512 bytes.
	textsSize = 12

	allTaken = 1<<slabSize - 1
)

// slab has the records of some places. Only the texts have pointers, so the garbage collector skips the rest. Nodes are apart from entries,
// because a search reads the nodes of other records.
type slab struct {
	taken   uint64 // a bit for each taken place
	nodes   *[slabSize]node
	entries *[slabSize]entry
	texts   [slabSize / textsSize]*[textsSize]text
}

// node is what index and expiries keep about a place.
type node struct {
	hash uint32 // of the key
	next place  // the next place of the same bucket of the index, or nowhere
	due  uint32 // the position in the heap of the expiries, plus one; 0 if the record does not expire
}

// slabs manages the places of a shard.
//
//   - A free place has a zero node, a zero entry and a zero text.
//   - A slab with a free place is in open, exactly once.
//   - A slab without records has no memory. One such memory is kept as a spare, so that a single record that comes and goes does not
//     allocate.
//
// Records of about the same age share slabs and expire together, so whole slabs become free.
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

// take takes a free place and returns it.
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

// memory returns memory for a slab without records.
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
		sl.taken = 1 // place nowhere is never handed out
	}

	return sl
}

// give frees a place and clears its memory.
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

// each calls visit for every taken place of at most limit slabs, beginning with the slab number. It returns the number of the slab that
// follows, and whether there is one.
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
