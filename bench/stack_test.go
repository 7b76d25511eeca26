//go:build !race

// The race detector enlarges frames.

package main

import (
	"context"
	"runtime/debug"
	"testing"
	"unsafe"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// depths notes how deep in the stack a store is called.
type depths struct {
	*memstore.Store

	claim, complete uintptr
}

func (d *depths) Capabilities() store.Capabilities {
	can := d.Store.Capabilities()
	can.Direct = d

	return can
}

// here is about where the stack of its caller ends.
//
//go:noinline
func here() uintptr {
	var local byte

	return uintptr(unsafe.Pointer(&local))
}

func (d *depths) ClaimTo(ctx context.Context, op *store.Claim, res *store.Result) error {
	d.claim = here()

	return d.Store.ClaimTo(ctx, op, res)
}

func (d *depths) CompleteTo(ctx context.Context, op *store.Completion, res *store.Result) error {
	d.complete = here()

	return d.Store.CompleteTo(ctx, op, res)
}

// deep makes the stack of its goroutine so large that it does not grow any more.
//
//go:noinline
func deep(depth int) byte {
	var room [1 << 10]byte

	if depth > 0 {
		room[depth] = deep(depth - 1)
	}

	return room[depth/2]
}

// gRPC begins a call with a stack of 8 KiB, and itself needs some 2 KiB of it, before the call and in the handler. A
// stack that grows costs a call 4 to 6 µs.
func TestAllocationsOnTheStackBeforeTheStoreAreBounded(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection shrinks stacks

	records := &depths{Store: memstore.New()}

	e, err := onlyonce.New(records)
	if err != nil {
		t.Fatal(err)
	}

	call := &onlyonce.Call{Scope: "s", Method: "/m", Key: "k"}

	done := make(chan uintptr)

	go func() {
		deep(64)

		from := here()
		_, err = e.Execute(t.Context(), call, func(context.Context) onlyonce.Outcome {
			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
		})
		done <- from
	}()

	from := <-done
	if err != nil {
		t.Fatal(err)
	}

	for name, got := range map[string]struct{ used, most uintptr }{
		"claim":      {from - records.claim, 2 << 10},
		"completion": {from - records.complete, 3 << 10},
	} {
		t.Logf("a %s: %d bytes", name, got.used)

		if got.used > got.most {
			t.Errorf("a %s is made with %d bytes on the stack of the call, want at most %d", name, got.used, got.most)
		}
	}
}
