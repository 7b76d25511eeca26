// Package ent has a handler with the code that https://entgo.io generates: its rows and the record of the call commit together.
package ent

//go:generate go run -mod=mod entgo.io/ent/cmd/ent generate --target db ./schema

import (
	"context"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"github.com/onlyonce-go/onlyonce/examples/recipes/ent/db"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Place is a handler in a single transaction.
func Place(ctx context.Context, id, item string) (string, error) {
	order, err := Within(ctx).Order.Create().SetID(id).SetItem(item).Save(ctx)
	if err != nil {
		return "", err
	}

	return "placed " + order.ID, nil
}

// Within returns a client in the single transaction of the run.
func Within(ctx context.Context) *db.Client {
	conn := entsql.Conn{ExecQuerier: sqlstore.Tx(ctx)}

	return db.NewClient(db.Driver(driver{entsql.NewDriver(dialect.Postgres, conn)}))
}

// driver is a driver whose transactions are that of the run: ent begins one for an entity with edges.
type driver struct{ *entsql.Driver }

// Tx implements [dialect.Driver].
func (d driver) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(d.Driver), nil }
