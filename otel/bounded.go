package onceotel

import (
	"maps"
	"sync"
	"sync/atomic"
)

// bounded has a value for each of a limited number of keys. Unknown and excess keys share one value. Looking up a stored key takes no lock
// and allocates nothing.
type bounded[K comparable, V any] struct {
	most  int
	known func(K) bool // nil means that all are known
	make  func(key K, known bool) V

	kept atomic.Pointer[map[K]V]

	mu   sync.Mutex // for adding keys
	once sync.Once
	rest V
}

func (b *bounded[K, V]) get(key K) V {
	kept := b.kept.Load()
	if kept != nil {
		if value, ok := (*kept)[key]; ok {
			return value
		}
	}

	if kept != nil && len(*kept) >= b.most || b.known != nil && !b.known(key) {
		return b.others()
	}

	return b.add(key)
}

func (b *bounded[K, V]) others() V {
	b.once.Do(func() {
		var none K

		b.rest = b.make(none, false)
	})

	return b.rest
}

func (b *bounded[K, V]) add(key K) V {
	b.mu.Lock()
	defer b.mu.Unlock()

	next := make(map[K]V)

	if kept := b.kept.Load(); kept != nil {
		if value, ok := (*kept)[key]; ok {
			return value
		}

		if len(*kept) >= b.most {
			return b.others()
		}

		next = maps.Clone(*kept)
	}

	value := b.make(key, true)
	next[key] = value
	b.kept.Store(&next)

	return value
}
