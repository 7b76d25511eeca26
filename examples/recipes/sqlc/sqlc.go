// Package sqlc has handlers with the code that https://sqlc.dev generates: their rows and the record of the call commit together.
package sqlc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlyonce-go/onlyonce/examples/recipes/sqlc/db"
	"github.com/onlyonce-go/onlyonce/examples/recipes/sqlc/pgxdb"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Place is a handler in a single transaction. sqlc has generated package db for database/sql.
func Place(ctx context.Context, order db.InsertOrderParams) (string, error) {
	if err := db.New(sqlstore.Tx(ctx)).InsertOrder(ctx, order); err != nil {
		return "", err
	}

	return "placed " + order.ID, nil
}

// Ship is a handler that joins its own transaction. sqlc has generated package pgxdb for pgx.
func Ship(ctx context.Context, pool *pgxpool.Pool, parcel pgxdb.InsertParcelParams) (string, error) {
	answer := "shipped " + parcel.OrderID + " in parcel " + parcel.Parcel

	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := pgxdb.New(tx).InsertParcel(ctx, parcel); err != nil {
			return err
		}

		return Join(ctx, tx, answer) // the last statement before the commit
	})

	return answer, err
}

// Join writes the answer of the call in a transaction of pgx.
func Join(ctx context.Context, tx pgx.Tx, answer string) error {
	return sqlstore.Join(ctx, sqlstore.ExecFunc(func(ctx context.Context, query string, args ...any) (int64, error) {
		tag, err := tx.Exec(ctx, query, args...)

		return tag.RowsAffected(), err
	}), answer)
}
