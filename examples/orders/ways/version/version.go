// Package version changes a row only if the row is still as it was read. A column counts the versions of the row.
//
// Choose it if several callers change the same row, and each change depends on the old value, such as a stock level. No change is lost, and
// nothing is oversold.
//
//   - A caller that remembers the version may repeat its change with [TakeAt]: the version has changed if the change was made.
//   - A caller that reads again before it repeats, as [Take] does, cannot recognise its own change and makes it twice. Protect such a call
//     with an idempotency key.
package version

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Schema makes the table.
const Schema = "CREATE TABLE IF NOT EXISTS stock (sku VARCHAR(64) PRIMARY KEY, pieces BIGINT NOT NULL, version BIGINT NOT NULL)"

var (
	// ErrSoldOut means that the stock is too low.
	ErrSoldOut = errors.New("version: there are not that many left")
	// ErrChanged means that the row has changed since it was read.
	ErrChanged = errors.New("version: the row has been changed by somebody else")
)

// DB is a database with the table, or a transaction there.
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Stock is a row: the number of pieces, and the version.
type Stock struct{ Pieces, Version int64 }

// Read reads a row.
func Read(ctx context.Context, db DB, sku string) (Stock, error) {
	var s Stock
	if err := db.QueryRowContext(ctx, "SELECT pieces, version FROM stock WHERE sku = $1", sku).Scan(&s.Pieces, &s.Version); err != nil {
		return Stock{}, fmt.Errorf("version: looking for %s: %w", sku, err)
	}

	return s, nil
}

// TakeAt takes pieces from a row that was read. The error matches ErrChanged if the row has changed. A repeat with the same version never
// takes twice.
func TakeAt(ctx context.Context, db DB, sku string, read Stock, pieces int64) (left int64, err error) {
	left = read.Pieces - pieces
	if pieces <= 0 || left < 0 {
		return 0, fmt.Errorf("%w: %d of %s, wanted are %d", ErrSoldOut, read.Pieces, sku, pieces)
	}

	res, err := db.ExecContext(ctx, "UPDATE stock SET pieces = $1, version = version + 1 WHERE sku = $2 AND version = $3",
		left, sku, read.Version)
	if err != nil {
		return 0, fmt.Errorf("version: taking from %s: %w", sku, err)
	}

	switch n, err := res.RowsAffected(); {
	case err != nil:
		return 0, fmt.Errorf("version: taking from %s: %w", sku, err)
	case n == 0:
		return 0, fmt.Errorf("%w: %s was at version %d", ErrChanged, sku, read.Version)
	default:
		return left, nil
	}
}

// tries bounds the attempts of Take. Another caller succeeds whenever an attempt fails.
const tries = 100

// Take takes pieces from the row as it is now. A repeat takes again.
func Take(ctx context.Context, db DB, sku string, pieces int64) (left int64, err error) {
	for range tries {
		read, err := Read(ctx, db, sku)
		if err != nil {
			return 0, err
		}

		left, err := TakeAt(ctx, db, sku, read, pieces)
		if !errors.Is(err, ErrChanged) {
			return left, err
		}
	}

	return 0, fmt.Errorf("%w, %d times", ErrChanged, tries)
}
