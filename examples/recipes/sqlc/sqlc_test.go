package sqlc_test

import (
	"context"
	_ "embed"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	"github.com/onlyonce-go/onlyonce/examples/recipes/sqlc"
	"github.com/onlyonce-go/onlyonce/examples/recipes/sqlc/db"
	"github.com/onlyonce-go/onlyonce/examples/recipes/sqlc/pgxdb"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqltest.Shared(m)) }

//go:embed schema.sql
var schema string

func TestRepeatedCallPlacesOneOrder(t *testing.T) {
	t.Parallel()

	database := trial.NewDatabase(t, onlyonce.SingleTransaction, schema)
	place := func(ctx context.Context) (string, error) {
		return sqlc.Place(ctx, db.InsertOrderParams{ID: "7", Item: "a book"})
	}

	database.FailsOnce(t, place, "orders")
	database.Twice(t, place, "orders")
}

func TestRepeatedCallShipsOneParcel(t *testing.T) {
	t.Parallel()

	database := trial.NewDatabase(t, onlyonce.JoinedTransaction, schema)

	pool, err := pgxpool.New(t.Context(), database.DSN)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(pool.Close)

	database.Twice(t, func(ctx context.Context) (string, error) {
		return sqlc.Ship(ctx, pool, pgxdb.InsertParcelParams{OrderID: "7", Parcel: "P1"})
	}, "parcels")
}

func TestHandlerOutsideOfARunWritesNothing(t *testing.T) {
	t.Parallel()

	if answer, err := sqlc.Place(t.Context(), db.InsertOrderParams{ID: "7", Item: "a book"}); err == nil {
		t.Errorf("answered %q", answer)
	}
}
