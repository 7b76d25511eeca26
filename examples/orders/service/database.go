package service

import (
	"database/sql"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib" // a driver
	_ "modernc.org/sqlite"             // a driver

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Database is the location of a database.
type Database struct {
	// File is a SQLite file.
	File string `json:"file,omitempty"`
	// URL is a PostgreSQL database, if File is empty.
	URL string `json:"url,omitempty"`
}

// Handlers wait for other writers in the driver. The store has its own deadlines and retries.
const (
	patient   = "&_txlock=immediate&_pragma=busy_timeout(2000)"
	impatient = "&_pragma=busy_timeout(5)"
)

// Open opens the database for reading.
func (d *Database) Open() (*sql.DB, error) { return d.open(patient) }

func (d *Database) open(busy string) (*sql.DB, error) {
	driver, name := "pgx", d.URL
	if d.File != "" {
		driver, name = "sqlite", "file:"+d.File+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"+busy
	}

	db, err := sql.Open(driver, name)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}

	const connections = 8 // eight such pools are few enough for PostgreSQL

	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)

	return db, nil
}

func (d *Database) dialect() sqlstore.Dialect {
	if d.File != "" {
		return sqlstore.SQLite
	}

	return sqlstore.PostgreSQL
}
