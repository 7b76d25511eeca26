//go:build !race

// The race detector allocates.

package onceotel_test

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestMetricsMakeNoAllocations(t *testing.T) {
	w := newWatch(t)
	engine, records := w.Observer(), w.StoreObserver("memory")
	call := onlyonce.Event{
		Kind: onlyonce.EventCall, Method: "/bank/Pay", Key: "k", Status: onlyonce.StatusExecuted,
		Total: 3 * time.Millisecond, Run: time.Millisecond,
	}
	operation := store.Event{
		Kind: store.EventOperation, Operation: store.OperationClaim, Status: store.StatusApplied, Duration: time.Millisecond,
	}

	made := testing.AllocsPerRun(1_000, func() {
		engine.Observe(t.Context(), call)
		records.ObserveStore(t.Context(), operation)
	})
	if made != 0 {
		t.Errorf("a call makes %v allocations", made)
	}
}
