package redisstore_test

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// unit is the lease of runs that a check lets end. It is generous, because machines are slow at times.
const unit = 200 * time.Millisecond

// open opens a store that is closed with the test.
func open(t *testing.T, url string, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()

	s, err := redisstore.Open(url, opts...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	return s
}

// opener opens stores at a URL.
func opener(url string, opts ...redisstore.Option) func(t *testing.T) store.Store {
	return func(t *testing.T) store.Store {
		t.Helper()

		return open(t, url, opts...)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	storetest.Run(t, opener(server.URL()), storetest.WithUnit(unit))
}
