package sqlstoretest_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// partition partitions the table by a hash of the key, as documented in docs/databases.md: in PostgreSQL before the
// migration, in MySQL after it.
func (k kind) partition(t *testing.T, db *sql.DB) {
	t.Helper()

	if k.dialect == sqlstore.MySQL {
		if err := sqlstore.Migrate(t.Context(), db, k.dialect); err != nil {
			t.Fatal(err)
		}

		execute(t, db, "ALTER TABLE onlyonce_records PARTITION BY KEY (id) PARTITIONS 4")

		return
	}

	text, err := sqlstore.Schema(k.dialect)
	if err != nil {
		t.Fatal(err)
	}

	_, create, _ := strings.Cut(text, "-- One row is one record.")
	create, _, _ = strings.Cut("--"+create, ") WITH (fillfactor = 85")

	execute(t, db, create+") PARTITION BY HASH (id)")

	for i := range 4 {
		execute(t, db, fmt.Sprintf("CREATE TABLE onlyonce_records_%d PARTITION OF onlyonce_records FOR VALUES WITH (MODULUS 4, REMAINDER %d) "+
			"WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = false)", i, i))
	}
}

func TestContractOnATableThatIsPartitionedByHash(t *testing.T) {
	each(t, []kind{kinds[0], pipelined(), kinds[1]}, func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		k.partition(t, db)
		s := k.on(t, db)

		storetest.Run(t, func(*testing.T) store.Store { return s }, storetest.WithUnit(unit),
			storetest.WithJoin(func(ctx context.Context, _ store.Store) (storetest.Joining, error) { return k.join(ctx, db) }),
			storetest.WithTake(take))
	})
}

func TestTheSweeperAndTheViewSeeAllPartitionsOfATable(t *testing.T) {
	each(t, []kind{kinds[0], kinds[1]}, func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		k.partition(t, db)
		s := k.on(t, db, sqlstore.WithSweep(generous, 10))

		table := k.rows(db)
		p := populate(t, s, table, 4)

		for range p.expired {
			if _, err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		p.mustHave(t, table)

		for _, key := range p.kept {
			_ = k.shown(t, db, key)
		}
	})
}
