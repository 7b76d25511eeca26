package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// shop is a service with its own table beside the records.
type shop struct {
	kind kind
	db   *sql.DB
	runs atomic.Int64
}

// orders makes the table.
func (k kind) orders(tb testing.TB, db *sql.DB) *shop {
	tb.Helper()

	if _, err := db.ExecContext(tb.Context(), "CREATE TABLE orders (name varchar(64) NOT NULL, run bigint NOT NULL)"); err != nil {
		tb.Fatal(err)
	}

	return &shop{kind: k, db: db}
}

// insert is a statement with the placeholders of the database.
func (s *shop) insert() string {
	return s.kind.numbered("INSERT INTO orders (name, run) VALUES (?, ?)")
}

// numbered numbers the placeholders of a statement where the database wants that.
func (k kind) numbered(query string) string {
	if k.dialect != sqlstore.PostgreSQL {
		return query
	}

	for n := byte('1'); strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", "$"+string(n), 1)
	}

	return query
}

func body(run int64) []byte { return []byte{'#', byte('0' + run)} }

// sell is a handler in its single transaction.
func (s *shop) sell(name string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		run := s.runs.Add(1)
		_, err := sqlstore.Tx(ctx).ExecContext(ctx, s.insert(), name, run)

		return body(run), err
	}
}

// sellFor is a handler that sells, and returns ends as its error.
func (s *shop) sellFor(name string, ends error) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		answer, err := s.sell(name)(ctx)

		return answer, errors.Join(err, ends)
	}
}

// join is a handler that joins its own transaction.
func (s *shop) join(name string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		return sqlstore.InTx(ctx, s.db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
			run := s.runs.Add(1)
			_, err := tx.ExecContext(ctx, s.insert(), name, run)

			return body(run), err
		})
	}
}

// rows is how many orders are committed.
func (s *shop) rows(tb testing.TB) (n int64) {
	tb.Helper()

	if err := s.db.QueryRowContext(tb.Context(), "SELECT count(*) FROM orders").Scan(&n); err != nil {
		tb.Fatal(err)
	}

	return n
}

func (s *shop) mustHave(tb testing.TB, runs, rows int64) {
	tb.Helper()

	if gotRuns, gotRows := s.runs.Load(), s.rows(tb); gotRuns != runs || gotRows != rows {
		tb.Errorf("%d runs and %d rows, want %d and %d", gotRuns, gotRows, runs, rows)
	}
}

func engine(tb testing.TB, s store.Store, transaction onlyonce.TransactionMode, opts ...onlyonce.Option) *onlyonce.Engine {
	tb.Helper()

	opts = append([]onlyonce.Option{
		onlyonce.WithObserver(nil),
		onlyonce.WithPolicy(onlyonce.Policy{
			Guarantee: onlyonce.ExactlyOnce, TransactionMode: transaction, Lease: generous, MaxRun: patience, MaxWait: patience,
		}),
		onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: generous, SettleTimeout: generous}),
	}, opts...)

	e, err := onlyonce.New(s, opts...)
	if err != nil {
		tb.Fatal(err)
	}

	tb.Cleanup(func() {
		ctx, done := context.WithTimeout(context.Background(), patience)
		defer done()

		if err := e.Drain(ctx); err != nil {
			tb.Error(err)
		}
	})

	return e
}

// opened is a shop, its store and its engine on an empty database.
func (k kind) opened(tb testing.TB, transaction onlyonce.TransactionMode) (*shop, *onlyonce.Engine) {
	tb.Helper()

	s, db := k.open(tb)

	return k.orders(tb, db), engine(tb, s, transaction)
}

// answer is the result of a call.
type answer struct {
	onlyonce.Result

	err error
}

func call(ctx context.Context, e *onlyonce.Engine, key string, fn func(context.Context) ([]byte, error)) answer {
	res, err := e.Do(ctx, onlyonce.Call{Method: "/shop.v1.Orders/Create", Key: key, Request: []byte("one book")}, fn)

	return answer{res, err}
}

func (a answer) mustBe(tb testing.TB, status onlyonce.Status, want string) {
	tb.Helper()

	if a.err != nil || a.Status != status || string(a.Body) != want {
		tb.Errorf("got %s %q, %v; want %s %q", a.Status, a.Body, a.err, status, want)
	}
}

func (a answer) mustBeRejected(tb testing.TB, reason onlyonce.Reason) {
	tb.Helper()

	if !errors.Is(a.err, reason) {
		tb.Errorf("got %s %q, %v; want %s", a.Status, a.Body, a.err, reason)
	}
}

// inBackground starts the call "one" and returns a channel for its answer.
func inBackground(ctx context.Context, e *onlyonce.Engine, fn func(context.Context) ([]byte, error)) <-chan answer {
	got := make(chan answer, 1)

	go func() { got <- call(ctx, e, "one", fn) }()

	return got
}

// held is the handler of "one" that stays in its transaction until it is let go.
func (s *shop) held() (handler func(context.Context) ([]byte, error), inside <-chan struct{}, letGo func()) {
	in, out := make(chan struct{}), make(chan struct{})

	return func(ctx context.Context) ([]byte, error) {
		answer, err := s.sell("one")(ctx)

		close(in)

		select {
		case <-out:
		case <-time.After(patience):
			return nil, errors.New("nobody has let the handler go")
		}

		return answer, err
	}, in, func() { close(out) }
}

// stock makes a table with two rows, which transactions change in opposite orders.
func stock(tb testing.TB, db *sql.DB) {
	tb.Helper()

	for _, query := range []string{
		"CREATE TABLE stock (id int NOT NULL PRIMARY KEY, n int NOT NULL)", "INSERT INTO stock VALUES (1, 0), (2, 0)",
	} {
		if _, err := db.ExecContext(tb.Context(), query); err != nil {
			tb.Fatal(err)
		}
	}
}

// mustHaveMoved checks that each of the calls has changed both rows once.
func mustHaveMoved(tb testing.TB, db *sql.DB, calls int) {
	tb.Helper()

	var least, most int

	err := db.QueryRowContext(tb.Context(), "SELECT min(n), max(n) FROM stock").Scan(&least, &most)
	if err != nil || least != calls || most != calls {
		tb.Errorf("the stock is %d and %d, %v, want %d", least, most, err, calls)
	}
}
