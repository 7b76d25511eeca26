//go:build unix

package crash

import (
	"fmt"
	"sync"
)

// provider is a payment provider: the effects of the handlers, which outlive them.
type provider struct {
	mu       sync.Mutex
	receipts map[string][]string // by key
}

func newProvider() *provider { return &provider{receipts: make(map[string][]string)} }

// Charge is an order to a provider.
type Charge struct {
	Key string
	// Deduplicated makes the provider check the key, as with a derived key: it charges once, and gives the same receipt again.
	Deduplicated bool
}

// Pay is called by handlers, and answers with a receipt.
func (p *provider) Pay(c Charge, receipt *string) error {
	p.mu.Lock()
	defer p.mu.Unlock()

	have := p.receipts[c.Key]
	if len(have) == 0 || !c.Deduplicated {
		have = append(have, fmt.Sprintf("receipt %d of %s", len(have)+1, c.Key))
		p.receipts[c.Key] = have
	}

	*receipt = have[len(have)-1]

	return nil
}

// Find is called by recovery functions, and answers with the receipts of a key.
func (p *provider) Find(key string, receipts *[]string) error {
	*receipts = p.charged(key)

	return nil
}

// charged returns the receipts of a key: one for each effect.
func (p *provider) charged(key string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()

	return append([]string(nil), p.receipts[key]...)
}
