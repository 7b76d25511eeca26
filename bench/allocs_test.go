//go:build !race

// The race detector allocates, too.

package main

import (
	"testing"
)

// allocations returns the number of allocations of a call.
func allocations(t *testing.T, v *variant) float64 {
	t.Helper()

	const calls = 2_000

	call, err := v.start()
	if err != nil {
		t.Fatal(err)
	}

	i := 0

	return testing.AllocsPerRun(calls-1, func() { // and one run to warm up
		if err := call(i); err != nil {
			t.Fatal(err)
		}

		i++
	})
}

// ceilings fails if a variant makes more allocations than base plus its limit in most.
func ceilings(t *testing.T, variants []variant, base string, most map[string]float64) {
	t.Helper()

	counts := make(map[string][]sample)
	for i := range variants {
		counts[variants[i].name()] = []sample{{allocs: allocations(t, &variants[i])}}
	}

	for i := range variants {
		limit, ok := most[variants[i].name()]
		if !ok {
			continue
		}

		delete(most, variants[i].name())

		if over := (row{&variants[i], counts}).more(base, allocs); !(over <= limit) {
			t.Errorf("%s: %.0f allocations over %s, want at most %.0f", variants[i].name(), over, base, limit)
		}
	}

	for name := range most {
		t.Errorf("no variant is named %q", name)
	}
}

// A first call allocates nothing for the end of its context, its lease, a caller that leaves, or the backlog. Those
// allocations are made when a run needs them.
func TestServerAllocations(t *testing.T) {
	ceilings(t, serverVariants(t.Context(), 10_000, 4_000), bare, map[string]float64{
		"onlyonce, no key": 0, onlyonceFirst: 7, onlyonceReplay: 9,
	})
}

// A call that may be retried has credentials, which guard its retries. gRPC builds the name of their audience, which is
// one allocation.
func TestClientAllocations(t *testing.T) {
	variants, err := clientVariants(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	ceilings(t, variants, invoker, map[string]float64{
		"fresh key": 8, "key from the context": 7, "fresh key, retry budget, attempt timeout": 12,
		"method that is not protected": 0,
	})
}

// The middleware copies the header of an answer once, and computes the fingerprint of a request in reused memory.
func TestHTTPAllocations(t *testing.T) {
	ceilings(t, httpVariants(t.Context(), 4_000), bareHandler, map[string]float64{onlyonceFirst: 14, onlyonceReplay: 10})
}

// The interceptors for connect-go give a call three more contexts, gRPC's metadata and a response of its own. Each header of an answer is
// copied twice: once by the interceptors and once by connect-go.
func TestConnectAllocations(t *testing.T) {
	ceilings(t, connectVariants(t.Context(), 4_000), bareConnect, map[string]float64{
		onlyonceConnect + ", " + firstCall: 25, onlyonceConnect + ", " + replay: 33,
	})
}
