package onlyonce

import (
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestTokensAreUnique(t *testing.T) {
	t.Parallel()

	const each = 20_000

	var (
		wg   sync.WaitGroup
		made [4][each]store.Token
		at   = time.Now()
		seen = make(map[store.Token]bool)
	)

	for i := range made {
		wg.Go(func() {
			for j := range made[i] {
				made[i][j] = newToken(at)
			}
		})
	}

	wg.Wait()

	for i := range made {
		for _, token := range made[i] {
			seen[token] = true
		}
	}

	if len(seen) != len(made)*each || seen[store.Token{}] {
		t.Errorf("%d tokens differ, want %d", len(seen), len(made)*each)
	}
}

// A process that was restored twice from one snapshot has the same random bits twice.
func TestTokensOfOneRandomStateDifferAtDifferentTimes(t *testing.T) {
	t.Parallel()

	at := time.Now()
	if tokenOf(1, 2, at) == tokenOf(1, 2, at.Add(1)) {
		t.Error("two claims have the same token")
	}
}
