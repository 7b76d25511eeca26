package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Order is a request.
type Order struct{ ID, Item string }

// Orders is a service with its own tables in the database of the records.
type Orders struct {
	DB      *sql.DB
	Carrier Carrier
}

// Carrier is another service.
type Carrier interface {
	Book(ctx context.Context, order Order) (parcel string, err error)
}

func main() {
	folder, err := os.MkdirTemp("", "onlyonce")
	if err != nil {
		log.Fatal(err)
	}

	err = run(context.Background(), os.Stdout, filepath.Join(folder, "orders.db"))
	if err = errors.Join(err, os.RemoveAll(folder)); err != nil {
		log.Fatal(err)
	}
}

// run makes each call twice, like a client that got no first answer.
func run(ctx context.Context, out io.Writer, path string) (err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	engine, err := open(ctx, db)
	if err != nil {
		return err
	}

	orders := &Orders{DB: db, Carrier: &carrier{out: out}}
	order := Order{ID: "order-7", Item: "a book"}

	for _, method := range []struct {
		name        string
		transaction onlyonce.TransactionMode
		handle      func(context.Context, Order) (string, error)
	}{
		{"Place", onlyonce.SingleTransaction, orders.Place},
		{"Ship", onlyonce.JoinedTransaction, orders.Ship},
	} {
		call := onlyonce.Call{
			Method: method.name, Key: order.ID, Request: fmt.Append(nil, order),
			Policy: &onlyonce.Policy{TransactionMode: method.transaction},
		}

		for range 2 {
			result, err := engine.Do(ctx, call, func(ctx context.Context) ([]byte, error) {
				answer, err := method.handle(ctx, order)

				return []byte(answer), err
			})
			if err != nil {
				return err
			}

			fmt.Fprintf(out, "%s: %s (%s)\n", method.name, result.Body, result.Status)
		}
	}

	return audit(ctx, out, db)
}

// open creates the tables, and an engine with the guarantee EXACTLY_ONCE.
func open(ctx context.Context, db *sql.DB) (*onlyonce.Engine, error) {
	for _, table := range []string{
		"CREATE TABLE orders (id TEXT, item TEXT)", "CREATE TABLE parcels (order_id TEXT, parcel TEXT)",
	} {
		if _, err := db.ExecContext(ctx, table); err != nil {
			return nil, err
		}
	}

	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		return nil, err
	}

	records, err := sqlstore.New(db, sqlstore.SQLite) //nolint:contextcheck // it bounds its check of the database itself
	if err != nil {
		return nil, err
	}

	return onlyonce.New(records, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))
}

// audit counts the rows.
func audit(ctx context.Context, out io.Writer, db *sql.DB) error {
	var orders, parcels int

	err := db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM parcels)").Scan(&orders, &parcels)
	fmt.Fprintf(out, "orders=%d parcels=%d\n", orders, parcels)

	return err
}

// carrier books parcels and counts them.
type carrier struct {
	out    io.Writer
	booked int
}

// Book implements Carrier.
func (c *carrier) Book(_ context.Context, order Order) (string, error) {
	c.booked++
	fmt.Fprintf(c.out, "the carrier books %s\n", order.Item)

	return fmt.Sprint("P", c.booked), nil
}
