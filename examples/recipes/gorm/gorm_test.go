package gorm_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/onlyonce-go/onlyonce"
	recipe "github.com/onlyonce-go/onlyonce/examples/recipes/gorm"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqltest.Shared(m)) }

func open(t *testing.T, mode onlyonce.TransactionMode) (*trial.Database, *gorm.DB) {
	t.Helper()

	database := trial.NewDatabase(t, mode, "CREATE TABLE orders (id text PRIMARY KEY, item text NOT NULL)")

	db, err := gorm.Open(postgres.New(postgres.Config{Conn: database.DB}))
	if err != nil {
		t.Fatal(err)
	}

	return database, db
}

func TestRepeatedCallPlacesOneOrder(t *testing.T) {
	t.Parallel()

	database, db := open(t, onlyonce.SingleTransaction)
	place := func(ctx context.Context) (string, error) {
		return recipe.Place(ctx, db, recipe.Order{ID: "7", Item: "a book"})
	}

	database.FailsOnce(t, place, "orders")
	database.Twice(t, place, "orders")
}

func TestRepeatedCallPlacesOneOrderInATransactionOfItsOwn(t *testing.T) {
	t.Parallel()

	database, db := open(t, onlyonce.JoinedTransaction)

	database.Twice(t, func(ctx context.Context) (string, error) {
		return recipe.PlaceJoined(ctx, db, recipe.Order{ID: "7", Item: "a book"})
	}, "orders")
}

func TestHandlerOutsideOfARunWritesNothing(t *testing.T) {
	t.Parallel()

	database, db := open(t, onlyonce.SingleTransaction)

	if answer, err := recipe.Place(t.Context(), db, recipe.Order{ID: "7", Item: "a book"}); err == nil {
		t.Errorf("answered %q", answer)
	}

	database.Rows(t, "orders", 0)
}
