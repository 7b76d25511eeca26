package orders

import (
	"fmt"
	"io"
	"math/rand/v2"
)

// Generate writes n orders that depend on the seed alone.
func Generate(w io.Writer, n int, seed uint64) error {
	const (
		payers  = 180
		payees  = 40
		dearest = 25_000
		dear    = 90_000
	)

	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // not a secret, and reproducible
	shops := []string{"bakery", "books", "cinema", "coffee", "garden", "grocer", "hotel", "music", "rail", "taxi"}
	// A currency that is listed twice is drawn twice as often.
	currencies := []string{euro, euro, euro, "USD", "USD", "GBP", "KRW", "JPY"}

	if _, err := fmt.Fprintln(w, Header); err != nil {
		return fmt.Errorf("writing orders: %w", err)
	}

	for i := range n {
		currency := currencies[random.IntN(len(currencies))]

		amount := 1 + random.Int64N(dearest)
		if exponents()[currency] == 0 {
			amount = 1 + random.Int64N(dear)
		}

		_, err := fmt.Fprintf(w, "ord-2025-%05d,customer-%03d,%s-%02d,%s,%s\n",
			i+1, 1+random.IntN(payers), shops[random.IntN(len(shops))], 1+random.IntN(payees), FormatAmount(amount, currency), currency)
		if err != nil {
			return fmt.Errorf("writing orders: %w", err)
		}
	}

	return nil
}
