package main

import (
	"context"
	"fmt"
)

// tillStrikes is the number of kills if the payments are in the database of the records.
const tillStrikes = 3

// tills is a stage of servers that keep their payments in one database. Its table is the ledger.
type tills struct {
	*fleet

	database *database
	struck   int
}

// checkDatabase checks that a database can be used, and creates the tables.
func checkDatabase(ctx context.Context, address string) error {
	db, err := openDatabase(address, true)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // there is nothing left to lose

	if _, err := db.prepare(ctx); err != nil {
		return err
	}

	return db.tidy(ctx)
}

// openTills starts all servers. It calls fail when one ends by itself.
func (d *demo) openTills(ctx context.Context, m mode, fail context.CancelCauseFunc) (stage, error) {
	db, err := openDatabase(d.shared, true)
	if err != nil {
		return nil, err
	}

	s := &tills{
		fleet:    &fleet{stderr: d.childErrors, fail: fail, hangUp: func() { _ = db.Close() }},
		database: db,
	}
	s.config = childConfig{Database: d.shared, Run: d.prefix + string(m)}

	if m == modeOnlyonce {
		s.config.Store = d.shared
	}

	if err := s.start(ctx, d); err != nil {
		s.close()

		return nil, err
	}

	return s, nil
}

// strike kills the next server in turn, between writing a payment and committing it.
func (s *tills) strike(ctx, paying context.Context, held func()) (int, error) {
	victim := s.servers[s.struck%len(s.servers)]
	s.struck++

	err := victim.hold(paying)

	held()

	switch {
	case paying.Err() != nil:
		return 0, nil //nolint:nilerr // too few orders are left, which is no failure
	case err != nil:
		return 0, err
	}

	return 1, s.replace(ctx, victim)
}

// charges reads the table.
func (s *tills) charges(ctx context.Context, orderID string) (n int, err error) {
	err = s.database.QueryRowContext(ctx, s.database.numbered("SELECT count(*) FROM "+paymentsTable+" WHERE run = ? AND order_id = ?"),
		s.config.Run, orderID).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("reading the table of payments: %w", err)
	}

	return n, nil
}
