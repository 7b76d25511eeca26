package main

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

const (
	// connections is the maximum number of database connections.
	connections = 16
	// mostOutcome bounds the size of an answer, in bytes.
	mostOutcome = 16 << 20
)

// opened is an open store.
type opened struct {
	store.Store

	close func()
	// at is the location of the store, without a password.
	at string
}

// quiet discards the log lines of go-redis. Its errors have the same information.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// open opens the store of the command line.
func (a *app) open() (*opened, error) {
	address, is, err := a.address()
	if err != nil {
		return nil, err
	}

	if is == kindRedis {
		records, err := openRedis(address, a.redisOptions()...)
		if err != nil {
			return nil, err
		}

		return &opened{Store: records, close: func() { _ = records.Close() }, at: location(address)}, nil
	}

	db, dialect, err := openDatabase(address, is)
	if err != nil {
		return nil, err
	}

	records, err := sqlstore.New(db, dialect, a.sqlOptions()...)
	if err != nil {
		_ = db.Close()

		return nil, fmt.Errorf("opening the store: %w", err)
	}

	return &opened{Store: records, close: func() { _ = db.Close() }, at: location(address)}, nil
}

// examine opens the store for doctor. If the store cannot be opened, it returns nil and diagnoses with the reason.
func (a *app) examine(ctx context.Context) (*opened, []store.Diagnosis, error) {
	address, is, err := a.address()
	if err != nil {
		return nil, nil, err
	}

	if is == kindRedis {
		records, err := openRedis(address, append(a.redisOptions(), redisstore.WithoutCheck())...) //nolint:contextcheck // it takes none
		if err != nil {
			return nil, nil, err
		}

		return &opened{Store: records, close: func() { _ = records.Close() }, at: location(address)}, nil, nil //nolint:contextcheck // as above
	}

	db, dialect, err := openDatabase(address, is)
	if err != nil {
		return nil, nil, err
	}

	if records, err := sqlstore.New(db, dialect, a.sqlOptions()...); err == nil { //nolint:contextcheck // --timeout bounds it
		return &opened{Store: records, close: func() { _ = db.Close() }, at: location(address)}, nil, nil
	}

	defer func() { _ = db.Close() }()

	found, err := sqlstore.Diagnose(ctx, db, dialect, a.sqlOptions()...)

	return nil, found, err
}

// address returns the URL of the store and its kind.
func (a *app) address() (string, kind, error) {
	address := cmp.Or(a.store.url, a.env("ONLYONCE_STORE"))
	if address == "" {
		return "", 0, usagef("no store: give its URL in --store or in the environment variable ONLYONCE_STORE")
	}

	a.secrets = append(a.secrets, passwordsOf(address)...)

	is, err := kindOf(address)
	if err != nil {
		return "", 0, err
	}

	return address, is, a.store.check(is)
}

func (a *app) redisOptions() []redisstore.Option {
	opts := []redisstore.Option{redisstore.WithTimeout(a.store.timeout)}
	if a.store.prefix != "" {
		opts = append(opts, redisstore.WithPrefix(a.store.prefix))
	}

	return opts
}

func (a *app) sqlOptions() []sqlstore.Option {
	opts := []sqlstore.Option{sqlstore.WithTimeout(a.store.timeout)}
	if a.store.table != "" {
		opts = append(opts, sqlstore.WithTable(a.store.table))
	}

	return opts
}

// openRedis opens Redis. An invalid URL is a usage error.
func openRedis(address string, opts ...redisstore.Option) (*redisstore.Store, error) {
	records, err := redisstore.Open(address, opts...)

	switch {
	case errors.Is(err, redisstore.ErrURL):
		return nil, usagef("%s", strings.TrimPrefix(err.Error(), "redisstore: "))
	case err != nil:
		return nil, fmt.Errorf("opening the store: %w", err)
	default:
		return records, nil
	}
}

func openDatabase(address string, is kind) (*sql.DB, sqlstore.Dialect, error) {
	var (
		db      *sql.DB
		dialect sqlstore.Dialect
		err     error
	)

	switch is {
	case kindPostgreSQL:
		dialect = sqlstore.PostgreSQL
		db, err = openPostgreSQL(address)
	case kindMySQL:
		dialect = sqlstore.MySQL
		db, err = openMySQL(address)
	case kindSQLite:
		dialect = sqlstore.SQLite
		db, err = openSQLite(address)
	case kindRedis:
	}

	if err != nil {
		return nil, 0, err
	}

	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)

	return db, dialect, nil
}

// openSQLite opens an existing file. It does not create one.
func openSQLite(address string) (*sql.DB, error) {
	path := strings.TrimPrefix(address, "sqlite:")

	switch {
	case path == "" || strings.HasPrefix(path, "//"):
		return nil, usagef("invalid SQLite URL: write sqlite: and the path of the file, such as sqlite:payments.db")
	case strings.HasPrefix(path, ":memory:"):
		return nil, usagef("another process cannot see a database in memory: give the path of a file")
	}

	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("opening the store: %w: give the file that the servers use", err)
	}

	// See the documentation of sqlstore. The file keeps its journal mode.
	const query = "_pragma=busy_timeout(5)&_pragma=synchronous(FULL)&_txlock=immediate&mode=rw"

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

// engine opens the store and an engine on it. The function closes both.
func (a *app) engine() (*onlyonce.Engine, func(), error) {
	records, err := a.open()
	if err != nil {
		return nil, nil, err
	}

	a.at = records.at

	engine, err := onlyonce.New(records.Store, onlyonce.WithObserver(nil),
		onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: a.store.timeout}), onlyonce.WithPolicy(onlyonce.Policy{MaxOutcome: mostOutcome}))
	if err != nil {
		records.close()

		return nil, nil, errors.Join(errors.New("making an engine"), err)
	}

	return engine, records.close, nil
}
