package memstore

import (
	"testing"
)

// FuzzExpiries sets, changes and removes expiries, and compares the heap with a map.
func FuzzExpiries(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 3, 2, 1, 3, 2})
	f.Add([]byte{1, 9, 2, 8, 3, 7, 4, 6, 5, 5, 1, 0, 3, 0, 2, 1, 5, 200})
	f.Add([]byte{1, 5, 2, 5, 3, 5, 4, 5, 1, 6, 2, 4, 255, 0, 3, 0, 255, 0, 255, 0})
	f.Add([]byte{1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 4, 0, 8, 0, 1, 9, 255, 0, 255, 0})

	f.Fuzz(func(t *testing.T, input []byte) {
		const places = 100

		var (
			s    slabs
			x    expiries
			want = make(map[place]int64)
		)

		for range places {
			s.take()
		}

		set := func(p place, at int64) {
			x.set(&s, p, at)

			if at == 0 {
				delete(want, p)
			} else {
				want[p] = at
			}
		}

		// removeFirst checks that the first element of the heap is the earliest, and removes it.
		removeFirst := func() {
			first, found := x.first()
			if found != (len(want) > 0) || found && want[first.place] != first.at {
				t.Fatalf("the first expiry is %+v, %t, of %v", first, found, want)
			}

			for p, at := range want {
				if at < first.at {
					t.Fatalf("place %d expires at %d, before the first expiry %+v", p, at, first)
				}
			}

			if found {
				set(first.place, 0)
			}
		}

		for ; len(input) > 1; input = input[2:] {
			if p := place(input[0]); p < places {
				set(1+p, int64(input[1]))
			} else {
				removeFirst()
			}

			x.check(t, len(want))

			for p := place(1); p <= places; p++ {
				if due := s.node(p).due; (due != 0) != (want[p] != 0) || due != 0 && *x.heap.at(due - 1) != (expiry{want[p], p}) {
					t.Fatalf("place %d has position %d, and expires at %d", p, due, want[p])
				}
			}
		}

		for len(want) > 0 {
			removeFirst()
		}

		x.check(t, 0)
	})
}
