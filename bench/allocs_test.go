//go:build !race

// The race detector makes allocations of its own.

package main

import (
	"testing"
)

// allocations is how many allocations a call makes.
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

// ceilings fails where a variant makes more allocations than the way without an interceptor, and so many.
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

// A first call makes none for the end of its context, its lease, its caller who may leave, and what may have to wait in the backlog: these
// are made for the runs that need them.
func TestServerAllocations(t *testing.T) {
	ceilings(t, serverVariants(t.Context(), 10_000, 4_000), bare, map[string]float64{
		"onlyonce, no key": 0, onlyonceFirst: 7, onlyonceReplay: 9,
	})
}

// A call that may be retried has credentials, which guard its retries: gRPC makes the name of their audience, which is one allocation.
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

// The middleware copies the header of an answer once, and makes the fingerprint of a request in memory that is used again.
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
