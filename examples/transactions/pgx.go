package main

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// ShipWithPGX is Ship with pgx. Anything that executes statements can join. Join last, just before the commit.
func (s *Orders) ShipWithPGX(ctx context.Context, pool *pgxpool.Pool, order Order) (answer string, err error) {
	parcel, err := s.Carrier.Book(ctx, order)
	if err != nil {
		return "", err
	}

	answer = "shipped " + order.ID + " in parcel " + parcel

	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO parcels (order_id, parcel) VALUES ($1, $2)", order.ID, parcel); err != nil {
			return err
		}

		return sqlstore.Join(ctx, sqlstore.ExecFunc(func(ctx context.Context, query string, args ...any) (int64, error) {
			tag, err := tx.Exec(ctx, query, args...)

			return tag.RowsAffected(), err
		}), answer)
	})

	return answer, err
}
