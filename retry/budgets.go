package retry

import (
	"maps"
	"sync"
)

// Budgets are one [Budget] for each target, so that a server in trouble does not use up the retries of the others. All connections to
// a target share its budget if they share the Budgets. A Budgets is safe for concurrent use; see [NewBudgets].
type Budgets struct {
	tokens, ratio float64

	mu       sync.Mutex
	byTarget map[string]*Budget
}

// NewBudgets returns Budgets, each of which is made as by [NewBudget] when its target is first asked for. They are kept for good:
// a target is a name from the program, such as that of a connection, and never something that callers send.
func NewBudgets(maxTokens, ratio float64) (*Budgets, error) {
	if _, err := NewBudget(maxTokens, ratio); err != nil {
		return nil, err
	}

	return &Budgets{tokens: maxTokens, ratio: ratio, byTarget: make(map[string]*Budget)}, nil
}

// For returns the budget of a target.
func (b *Budgets) For(target string) *Budget {
	b.mu.Lock()
	defer b.mu.Unlock()

	found, ok := b.byTarget[target]
	if !ok {
		found, _ = NewBudget(b.tokens, b.ratio) // which NewBudgets has tried
		b.byTarget[target] = found
	}

	return found
}

// Limit returns how many tokens each budget has when it is full.
func (b *Budgets) Limit() float64 { return b.tokens }

// Tokens returns how many tokens each target has now that has been asked for; see [Budget.Tokens].
func (b *Budgets) Tokens() map[string]float64 {
	b.mu.Lock()
	known := maps.Clone(b.byTarget)
	b.mu.Unlock()

	tokens := make(map[string]float64, len(known))
	for target, budget := range known {
		tokens[target] = budget.Tokens()
	}

	return tokens
}
