package storetest

import (
	"fmt"
	"sync"
)

// probe is a test whose failures are recorded, not reported.
type probe struct {
	mu       sync.Mutex
	failures []string
}

type probeFailed struct{}

func (p *probe) Helper() {}

func (p *probe) Logf(string, ...any) {}

func (p *probe) Errorf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.failures = append(p.failures, fmt.Sprintf(format, args...))
}

func (p *probe) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)

	panic(probeFailed{})
}

// watch calls run up to its first fatal failure.
func (p *probe) watch(run func()) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(probeFailed); !ok {
				panic(r)
			}
		}
	}()

	run()
}
