package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The tables of this example.
const (
	recordsTable  = "onlyonce_demo_records"
	paymentsTable = "onlyonce_demo_payments"
)

const (
	// connections is the maximum number of connections of a process.
	connections = 16
	// openTime is the time limit for checking a database.
	openTime = 30 * time.Second
	// keepPayments is how long payments of earlier demos stay in the table.
	keepPayments = time.Hour
)

// isDatabase reports whether a URL names a database. It then also contains the payments.
func isDatabase(address string) bool {
	_, ok := dialectOf(address)

	return ok
}

func dialectOf(address string) (sqlstore.Dialect, bool) {
	switch scheme, _, _ := strings.Cut(address, ":"); scheme {
	case "sqlite":
		return sqlstore.SQLite, true
	case "postgres", "postgresql":
		return sqlstore.PostgreSQL, true
	case "mysql":
		return sqlstore.MySQL, true
	default:
		return 0, false
	}
}

// database has the payments in a table, beside the records.
type database struct {
	*sql.DB

	dialect sqlstore.Dialect
}

// openDatabase opens the database of a URL. SQLite transactions wait for each other. The store limits this wait itself; without the store,
// set patient to make the driver wait.
func openDatabase(address string, patient bool) (*database, error) {
	dialect, _ := dialectOf(address)

	open := map[sqlstore.Dialect]func(string) (*sql.DB, error){
		sqlstore.SQLite:     func(address string) (*sql.DB, error) { return openSQLite(address, patient) },
		sqlstore.PostgreSQL: openPostgreSQL,
		sqlstore.MySQL:      openMySQL,
	}[dialect]

	db, err := open(address)
	if err != nil {
		return nil, fmt.Errorf("the store cannot be used: %w", err)
	}

	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)

	return &database{DB: db, dialect: dialect}, nil
}

func openSQLite(address string, patient bool) (*sql.DB, error) {
	path := strings.TrimPrefix(address, "sqlite:")

	switch {
	case path == "" || strings.HasPrefix(path, "//"):
		return nil, errors.New("invalid SQLite URL: write sqlite: and the path of the file, such as sqlite:payments.db")
	case strings.HasPrefix(path, ":memory:"):
		return nil, fmt.Errorf("servers cannot share a database that is in memory: give a file, or %s", memory)
	}

	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("the folder of the database file does not exist: %w", err)
	}

	wait := 5 // milliseconds
	if patient {
		wait = 20_000
	}

	// See the documentation of sqlstore.
	query := fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate", wait)

	return sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: query}).String())
}

func openPostgreSQL(address string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, errURL(address, "postgres://user:password@host:5432/database", func(address string) bool {
			_, err := pgx.ParseConfig(address)

			return err == nil
		})
	}

	return stdlib.OpenDB(*config), nil
}

// openMySQL accepts the parameters of github.com/go-sql-driver/mysql.
func openMySQL(address string) (*sql.DB, error) {
	connector, ok := mysqlConnector(address)
	if !ok {
		return nil, errURL(address, "mysql://user:password@host:3306/database", func(address string) bool {
			_, ok := mysqlConnector(address)

			return ok
		})
	}

	return sql.OpenDB(connector), nil
}

func mysqlConnector(address string) (connector driver.Connector, ok bool) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || len(parsed.Path) < 2 {
		return nil, false
	}

	config, err := mysql.ParseDSN("tcp(" + parsed.Host + ")" + parsed.Path + "?" + parsed.RawQuery)
	if err != nil {
		return nil, false
	}

	config.User = parsed.User.Username()
	config.Passwd, _ = parsed.User.Password()
	config.Logger = &mysql.NopLogger{} // errors have the same information

	connector, err = mysql.NewConnector(config)

	return connector, err == nil
}

// prepare creates missing tables, and opens the store.
func (d *database) prepare(ctx context.Context) (*sqlstore.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()

	if err := d.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("the store cannot be used: the database cannot be reached: %w", err)
	}

	if err := sqlstore.Migrate(ctx, d.DB, d.dialect, sqlstore.WithTable(recordsTable)); err != nil {
		return nil, fmt.Errorf("the store cannot be used: %w", err)
	}

	// The table accepts several payments of one order.
	if _, err := d.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS `+paymentsTable+` (
		run          varchar(64)  NOT NULL,
		order_id     varchar(255) NOT NULL,
		payment_id   varchar(32)  NOT NULL,
		payer        varchar(255) NOT NULL,
		payee        varchar(255) NOT NULL,
		amount_minor bigint       NOT NULL,
		currency     varchar(8)   NOT NULL,
		paid_ms      bigint       NOT NULL,
		PRIMARY KEY (run, order_id, payment_id)
	)`); err != nil {
		return nil, fmt.Errorf("making the table of payments: %w", err)
	}

	return d.records() //nolint:contextcheck // it takes some seconds at most
}

// tidy deletes payments of old demos. The store deletes expired records itself.
func (d *database) tidy(ctx context.Context) error {
	old := time.Now().Add(-keepPayments).UnixMilli()

	_, err := d.ExecContext(ctx, d.numbered("DELETE FROM "+paymentsTable+" WHERE paid_ms < ? AND run LIKE ?"), old, demoPrefix+"%")
	if err != nil {
		return fmt.Errorf("tidying the table of payments: %w", err)
	}

	return nil
}

// records returns the store in this database.
func (d *database) records() (*sqlstore.Store, error) {
	records, err := sqlstore.New(d.DB, d.dialect, sqlstore.WithTable(recordsTable))
	if err != nil {
		return nil, fmt.Errorf("the store cannot be used: %w", err)
	}

	return records, nil
}

// numbered numbers the placeholders of a statement if the database needs it.
func (d *database) numbered(query string) string {
	if d.dialect != sqlstore.PostgreSQL {
		return query
	}

	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprintf("$%d", n), 1)
	}

	return query
}
