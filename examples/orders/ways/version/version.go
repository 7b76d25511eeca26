// Package version changes a row only if it still is as it was read, by a column that counts its versions.
//
// Choose it where several callers change the same row and each change is computed from what the row was, such as what is left of a
// stock: none is lost, and nobody sells what is gone. A caller who remembers the version that it has read may repeat its change, since
// the version has moved on if it was made ([TakeAt]). One that reads again before it repeats, as [Take] does, cannot tell its own
// change from somebody else's, and makes it twice: around it belongs something that knows the call, such as an idempotency key.
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
	// ErrSoldOut means that there is not as much as is wanted.
	ErrSoldOut = errors.New("version: there are not that many left")
	// ErrChanged means that the row is not as it was read.
	ErrChanged = errors.New("version: the row has been changed by somebody else")
)

// DB is a database with the table, or a transaction there.
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Stock is a row: how many pieces there are, and how often that has changed.
type Stock struct{ Pieces, Version int64 }

// Read reads a row.
func Read(ctx context.Context, db DB, sku string) (Stock, error) {
	var s Stock
	if err := db.QueryRowContext(ctx, "SELECT pieces, version FROM stock WHERE sku = $1", sku).Scan(&s.Pieces, &s.Version); err != nil {
		return Stock{}, fmt.Errorf("version: looking for %s: %w", sku, err)
	}

	return s, nil
}

// TakeAt takes pieces from a row that was read. The error matches ErrChanged where it is another one now: the same change, made
// again, is never made twice.
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

// tries is how often Take reads again. Somebody else succeeds each time that it has to.
const tries = 100

// Take takes pieces, from the row as it is now. Called again, it takes again.
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
