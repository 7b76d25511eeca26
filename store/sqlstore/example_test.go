package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The handler's rows, the record and the answer commit together, and only once.
//
// The program imports a driver, here modernc.org/sqlite.
//
//nolint:testableexamples // package sqlstoretest runs it, because this module has no driver
func Example() {
	ctx := context.Background()

	dir, err := os.MkdirTemp("", "payments")
	if err != nil {
		log.Panic(err)
	}
	defer os.RemoveAll(dir)

	db, err := sql.Open("sqlite", "file:"+dir+"/payments.db?_pragma=busy_timeout(5)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		log.Panic(err)
	}
	defer db.Close()

	if _, err := db.ExecContext(ctx, "CREATE TABLE payments (order_id TEXT)"); err != nil {
		log.Panic(err)
	}

	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		log.Panic(err)
	}

	records, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		log.Panic(err)
	}

	engine, err := onlyonce.New(records, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))
	if err != nil {
		log.Panic(err)
	}

	pay := func(ctx context.Context) ([]byte, error) {
		_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO payments VALUES ('order-4711')")

		return []byte("paid"), err
	}

	for range 2 {
		result, err := engine.Do(ctx, onlyonce.Call{Method: "pay", Key: "order-4711"}, pay)
		fmt.Println(result.Status, string(result.Body), err)
	}

	var payments int

	err = db.QueryRowContext(ctx, "SELECT count(*) FROM payments").Scan(&payments)
	fmt.Println("payments:", payments, err)
	// It prints:
	//
	//	executed paid <nil>
	//	replayed paid <nil>
	//	payments: 1 <nil>
}
