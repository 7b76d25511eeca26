package retry

import (
	"maps"
	"sync"
)

// Budgets has one [Budget] for each target, so that a server in trouble does not use up the retries of the others. All connections to a
// target share its budget if they share the Budgets. [NewBudgets] makes it; the zero value is not usable. It is safe for concurrent use and
// must not be copied.
type Budgets struct {
	tokens, ratio float64

	mu       sync.Mutex
	byTarget map[string]*Budget
}

// NewBudgets returns Budgets. Each budget is made as by [NewBudget] with the same numbers, which also describes the error. Budgets are
// never removed. So a target must be a name from the program, such as the target of a connection, and not a value from client input.
func NewBudgets(maxTokens, ratio float64) (*Budgets, error) {
	if _, err := NewBudget(maxTokens, ratio); err != nil {
		return nil, err
	}

	return &Budgets{tokens: maxTokens, ratio: ratio, byTarget: make(map[string]*Budget)}, nil
}

// For returns the budget of a target. It makes the budget on the first call for the target.
func (b *Budgets) For(target string) *Budget {
	b.mu.Lock()
	defer b.mu.Unlock()

	found, ok := b.byTarget[target]
	if !ok {
		found, _ = NewBudget(b.tokens, b.ratio) // NewBudgets has checked the numbers
		b.byTarget[target] = found
	}

	return found
}

// Limit returns the tokens of each full budget.
func (b *Budgets) Limit() float64 { return b.tokens }

// Tokens returns the tokens that each budget has now, by target. A target is included once For was called for it: see [Budget.Tokens].
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
