package main

import (
	"context"
	"database/sql"

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Ship calls a carrier without an open transaction. Then its rows commit together with its answer.
func (s *Orders) Ship(ctx context.Context, order Order) (string, error) {
	parcel, err := s.Carrier.Book(ctx, order) // give this call its own key: it may be repeated
	if err != nil {
		return "", err
	}

	return sqlstore.InTx(ctx, s.DB, nil, func(ctx context.Context, tx *sql.Tx) (string, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO parcels (order_id, parcel) VALUES ($1, $2)", order.ID, parcel)

		return "shipped " + order.ID + " in parcel " + parcel, err
	})
}
