package sqlstoretest_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// crowded is the timeout of operations that queue up behind a thousand others.
const crowded = 8 * time.Minute

func TestF22OfAThousandClaimsAtOnceOneWins(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t, sqlstore.WithTimeout(crowded))
		key := newKey()
		crowd(t, 1000, func() (store.Result, error) { return s.Claim(t.Context(), claimOn(key)) })
	})
}

func TestF22OfAThousandTakeoversAtOnceOneWins(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t, sqlstore.WithTimeout(crowded))
		key := overdue(t, s).Key
		crowd(t, 1000, func() (store.Result, error) {
			claim := claimOn(key)
			claim.Fence = 1

			return s.Claim(t.Context(), claim)
		})
	})
}

// crowd makes an operation many times at once, and checks that it is applied once.
func crowd(t *testing.T, n int, run func() (store.Result, error)) {
	t.Helper()

	var (
		wg  sync.WaitGroup
		won atomic.Int64
	)

	begin := make(chan struct{})

	for range n {
		wg.Go(func() {
			<-begin

			res, err := run()
			if err != nil {
				t.Error(err)
			}

			if res.Applied {
				won.Add(1)
			}
		})
	}

	close(begin)
	wg.Wait()

	if won.Load() != 1 {
		t.Errorf("%d have won", won.Load())
	}
}
