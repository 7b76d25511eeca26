package sqlstore

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"
)

func TestMigrateWaitsForAnotherMigrationAsLongAsItsContextAllows(t *testing.T) {
	for name, c := range map[string]struct {
		dialect Dialect
		answer  error
		waits   bool
	}{
		"SQLite, another one writes": {SQLite, &modernError{sqliteBusy}, true},
		"PostgreSQL, a deadlock":     {PostgreSQL, answered(stateDeadlock), true},
		"PostgreSQL, no right":       {PostgreSQL, answered("42501"), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := sql.OpenDB(refusingDriver{&outage{err: c.answer}})
				defer db.Close()

				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()

				began := time.Now()

				if err := Migrate(ctx, db, c.dialect); err == nil || (ctx.Err() != nil) != c.waits {
					t.Errorf("after %v it returned %v", time.Since(began), err)
				}
			})
		})
	}
}
