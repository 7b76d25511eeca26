package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// scripted is a database that answers each query by a function, which returns a number or an error.
type scripted struct {
	answer func(query string) (int64, error)
}

func (d scripted) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d scripted) Driver() driver.Driver                        { return nil }
func (d scripted) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrSkip }
func (d scripted) Close() error                                 { return nil }
func (d scripted) Begin() (driver.Tx, error)                    { return d, nil }
func (d scripted) Commit() error                                { return nil }
func (d scripted) Rollback() error                              { return nil }

func (d scripted) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	_, err := d.answer(query)

	return driver.ResultNoRows, err
}

func (d scripted) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	n, err := d.answer(query)

	return &oneRow{n: n}, err
}

// oneRow is a row with a number.
type oneRow struct {
	n    int64
	read bool
}

func (*oneRow) Columns() []string { return []string{"n"} }
func (*oneRow) Close() error      { return nil }

func (r *oneRow) Next(values []driver.Value) error {
	if r.read {
		return io.EOF
	}

	values[0], r.read = r.n, true

	return nil
}

// While the outcome is recorded apart, as many other transactions are open as WithMaxTransactions allows, and no more.
func TestDefiniteErrorIsRecordedWithRoomForATransactionOnEveryTry(t *testing.T) {
	t.Parallel()

	for _, pipelined := range []bool{false, true} {
		const conflicts = 3

		s := &Store{dialect: PostgreSQL, gate: new(gate), room: make(chan struct{}, 1)}
		s.timeout = time.Minute
		s.load()

		records := 0
		s.db = sql.OpenDB(scripted{func(query string) (int64, error) {
			if query != s.sql.record {
				return 0, nil
			}

			if len(s.room) != 1 {
				t.Errorf("pipelined is %t: try %d has no room", pipelined, records)
			}

			records++
			if records <= conflicts {
				return 0, answered(stateSerialization)
			}

			return 1, nil
		}})

		t.Cleanup(func() { _ = s.db.Close() })

		leave, err := s.enter(t.Context(), t.Context())
		if err != nil {
			t.Fatal(err)
		}

		tx := &transaction{store: s, leave: leave}

		if pipelined {
			s.pipeline = func(_ context.Context, _ any, statements []Statement) error {
				if len(statements) > 1 { // not the rollback alone
					return answered(stateSerialization)
				}

				return nil
			}
		}

		if err := tx.open(t.Context()); err != nil {
			t.Fatal(err)
		}

		tx.used.Store(true)

		res, err := tx.Complete(t.Context(), store.Completion{}, true)
		if err != nil || !res.Applied || records != conflicts+1 {
			t.Errorf("pipelined is %t: %+v, %v after %d tries", pipelined, res, err, records)
		}

		if len(s.room) != 0 {
			t.Errorf("pipelined is %t: the room is not given back", pipelined)
		}
	}
}
