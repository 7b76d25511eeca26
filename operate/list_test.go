package operate_test

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestListReturnsTheOldestRecordsUpToItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())

		for i := range 9 {
			unknown(t, engine, method, strconv.Itoa(i))
			time.Sleep(time.Second)
		}

		unknown(t, engine, "/bank.Payments/Refund", "other")

		found, err := operate.List(t.Context(), engine, operate.Filter{Method: method, Limit: 3})
		if err != nil || found.Selected != 9 || len(found.Records) != 3 {
			t.Fatalf("%d of %d records, %v", len(found.Records), found.Selected, err)
		}

		for i, rec := range found.Records {
			if rec.ReadableKey != strconv.Itoa(i) {
				t.Errorf("record %d is %q", i, rec.ReadableKey)
			}
		}
	})
}

// withoutLister is a store that cannot list.
type withoutLister struct{ store.Store }

func (s withoutLister) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Lister = nil

	return can
}

func TestListOfAStoreThatCannotListIsAnError(t *testing.T) {
	t.Parallel()

	engine := newEngine(t, withoutLister{memstore.New()})

	if _, err := operate.List(t.Context(), engine, operate.Filter{}); !errors.Is(err, onlyonce.ErrNotSupported) {
		t.Errorf("got %v", err)
	}

	if _, err := operate.List(t.Context(), engine, operate.Filter{Limit: -1}); err == nil {
		t.Error("a wrong filter is accepted")
	}

	for change := range operate.Watch(t.Context(), engine, operate.Filter{}, 0) {
		if change.Kind != operate.Failed || !errors.Is(change.Err, onlyonce.ErrNotSupported) {
			t.Errorf("got %+v", change)
		}
	}
}
