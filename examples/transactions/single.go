package main

import (
	"context"

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Place is a handler in a single transaction. Its rows, the claim of its key and its answer commit together.
func (s *Orders) Place(ctx context.Context, order Order) (string, error) {
	tx := sqlstore.Tx(ctx)

	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id, item) VALUES ($1, $2)", order.ID, order.Item); err != nil {
		return "", err
	}

	return "placed " + order.ID, nil
}
