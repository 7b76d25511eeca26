package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
)

// Errors as drivers have them.
type (
	pgError     struct{ state string }
	mysqlError  struct{ Number uint16 }
	modernError struct{ code int }
	mattnError  struct{ Code, ExtendedCode int }
)

func (e *pgError) Error() string    { return e.state }
func (e *pgError) SQLState() string { return e.state }

func (e *mysqlError) Error() string { return strconv.Itoa(int(e.Number)) }

func (e *modernError) Error() string { return strconv.Itoa(e.code) }
func (e *modernError) Code() int     { return e.code }

func (e mattnError) Error() string { return strconv.Itoa(e.Code) }

func TestF94ErrorsThatDoNotGoAwayByThemselvesAreRecognised(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		dialect Dialect
		err     error
		want    bool
	}{
		{PostgreSQL, &pgError{"42P01"}, true},
		{PostgreSQL, &pgError{"42501"}, true},
		{PostgreSQL, &pgError{"3F000"}, true},
		{PostgreSQL, &pgError{"57P01"}, false},
		{PostgreSQL, &pgError{"55P03"}, false},
		{MySQL, &mysqlError{1146}, true},
		{MySQL, &mysqlError{1142}, true},
		{MySQL, &mysqlError{1665}, true},
		{MySQL, &mysqlError{1205}, false},
		{MySQL, &mysqlError{1290}, false},
		{SQLite, &modernError{1}, true},
		{SQLite, &modernError{8}, true},
		{SQLite, &modernError{5}, false},
		{PostgreSQL, io.ErrUnexpectedEOF, false},
		{MySQL, driver.ErrBadConn, false},
		{SQLite, nil, false},
	} {
		for _, err := range []error{c.err, wrapped(c.err)} {
			if got := c.dialect.hopeless(err); got != c.want {
				t.Errorf("%v: %T %v: hopeless is %t", c.dialect, err, err, got)
			}
		}
	}
}

func TestF47FailuresAreDistinguished(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		dialect                        Dialect
		err                            error
		undone, reported, full, ending bool
	}{
		{PostgreSQL, &pgError{"40001"}, true, true, false, false},
		{PostgreSQL, &pgError{"40P01"}, true, true, false, false},
		{PostgreSQL, &pgError{"23505"}, false, true, false, false},
		{PostgreSQL, &pgError{"53100"}, false, true, true, false},
		{PostgreSQL, &pgError{"57P01"}, false, true, false, true},
		{PostgreSQL, &pgError{"08006"}, false, true, false, true},
		{MySQL, &mysqlError{1213}, true, true, false, false},
		{MySQL, &mysqlError{1205}, true, true, false, false},
		{MySQL, &mysqlError{1206}, true, true, false, false},
		{MySQL, &mysqlError{1020}, true, true, false, false},
		{MySQL, &mysqlError{1062}, false, true, false, false},
		{MySQL, &mysqlError{1114}, false, true, true, false},
		{MySQL, &mysqlError{1021}, false, true, true, false},
		{SQLite, &modernError{5}, true, true, false, false},
		{SQLite, &modernError{6}, true, true, false, false},
		{SQLite, &modernError{517}, true, true, false, false}, // BUSY_SNAPSHOT
		{SQLite, &modernError{19}, false, true, false, false},
		{SQLite, &modernError{13}, false, true, true, false},
		{SQLite, mattnError{5, 261}, true, true, false, false},
		{SQLite, mattnError{1, 1}, false, true, false, false},
		{PostgreSQL, driver.ErrBadConn, false, false, false, false},
		{MySQL, io.ErrUnexpectedEOF, false, false, false, false},
		{SQLite, context.Canceled, false, false, false, false},
		{MySQL, errors.New("invalid connection"), false, false, false, false},
		{SQLite, nil, false, false, false, false},
	} {
		for _, err := range []error{c.err, wrapped(c.err)} {
			if got := c.dialect.undone(err); got != c.undone {
				t.Errorf("%v: %T %v: undone is %t", c.dialect, err, err, got)
			}

			if got := reported(err); got != c.reported {
				t.Errorf("%v: %T %v: reported is %t", c.dialect, err, err, got)
			}

			if got := full(err); got != c.full {
				t.Errorf("%v: %T %v: full is %t", c.dialect, err, err, got)
			}

			if got := goingDown(err); got != c.ending {
				t.Errorf("%v: %T %v: goingDown is %t", c.dialect, err, err, got)
			}
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}

	return fmt.Errorf("somewhere: %w", err)
}
