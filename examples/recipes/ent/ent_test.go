package ent_test

import (
	"context"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/ent"
	"github.com/onlyonce-go/onlyonce/examples/recipes/ent/db"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqltest.Shared(m)) }

func TestRepeatedCallPlacesOneOrder(t *testing.T) {
	t.Parallel()

	database := trial.NewDatabase(t, onlyonce.SingleTransaction, "")

	migrate := db.NewClient(db.Driver(entsql.OpenDB(dialect.Postgres, database.DB)))
	if err := migrate.Schema.Create(t.Context()); err != nil {
		t.Fatal(err)
	}

	place := func(ctx context.Context) (string, error) { return ent.Place(ctx, "7", "a book") }

	database.FailsOnce(t, place, "orders")
	database.Twice(t, place, "orders")
}

func TestHandlerOutsideOfARunWritesNothing(t *testing.T) {
	t.Parallel()

	if answer, err := ent.Place(t.Context(), "7", "a book"); err == nil {
		t.Errorf("answered %q", answer)
	}
}
