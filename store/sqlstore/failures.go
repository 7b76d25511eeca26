package sqlstore

import (
	"errors"
	"reflect"
	"strings"
)

// What a driver's error says, without its package: PostgreSQL's drivers have a method SQLState, go-sql-driver/mysql a field
// Number, SQLite's drivers a method or a field Code.

// Codes of the errors that are told apart.
const (
	stateSerialization = "40001" // also MySQL's for 1213
	stateDeadlock      = "40P01"
	stateLockWait      = "55P03"
	stateDiskFull      = "53100"
	classConstraint    = "23"
	classGoingDown     = "57P"
	classConnection    = "08"

	mysqlRecordChanged = 1020 // of MariaDB, where a snapshot is older
	mysqlDiskFull      = 1021
	mysqlTableFull     = 1114
	mysqlLockWait      = 1205
	mysqlLocksFull     = 1206
	mysqlDeadlock      = 1213

	sqliteBusy   = 5
	sqliteLocked = 6
	sqliteFull   = 13
)

// sqlState is the SQLSTATE that PostgreSQL has answered with, or empty.
func sqlState(err error) string {
	var says interface{ SQLState() string }
	if errors.As(err, &says) {
		return says.SQLState()
	}

	return ""
}

// sqliteCode is the primary result code of SQLite, or 0.
func sqliteCode(err error) int64 {
	var says interface{ Code() int }
	if errors.As(err, &says) {
		return int64(says.Code() & 0xff)
	}

	return field(err, "Code") & 0xff
}

// mysqlNumber is the error number that MySQL has answered with, or 0.
func mysqlNumber(err error) int64 { return field(err, "Number") }

// field is a number in the struct of an error, or of one that it wraps.
func field(err error, name string) int64 {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			continue
		}

		switch f := v.FieldByName(name); {
		case !f.IsValid():
		case f.CanInt():
			return f.Int()
		case f.CanUint():
			return int64(f.Uint()) //nolint:gosec // an error number
		}
	}

	return 0
}

// blocked recognises a wait for a lock that was too long.
func (d Dialect) blocked(err error) bool {
	switch d {
	case PostgreSQL:
		return sqlState(err) == stateLockWait
	case MySQL:
		return mysqlNumber(err) == mysqlLockWait
	case SQLite:
		return false // nobody can tell what for
	default:
		return false
	}
}

// conflicts recognises the errors after which a transaction of several statements is gone because of another one.
func (d Dialect) conflicts(err error) bool {
	return d.undone(err) && mysqlNumber(err) != mysqlLockWait
}

// undone recognises serialization failures, deadlocks and a database that is locked.
func (d Dialect) undone(err error) bool {
	switch d {
	case PostgreSQL:
		state := sqlState(err)

		return state == stateSerialization || state == stateDeadlock
	case MySQL:
		switch mysqlNumber(err) {
		case mysqlDeadlock, mysqlLockWait, mysqlRecordChanged, mysqlLocksFull:
			return true
		default:
			return false
		}
	case SQLite:
		code := sqliteCode(err)

		return code == sqliteBusy || code == sqliteLocked
	default:
		return false
	}
}

// reported recognises the errors that the database itself has answered with, as opposed to those of the way to it.
func reported(err error) bool {
	return sqlState(err) != "" || mysqlNumber(err) != 0 || sqliteCode(err) != 0
}

// goingDown recognises a server that ends the connection.
func goingDown(err error) bool {
	state := sqlState(err)

	return strings.HasPrefix(state, classGoingDown) || strings.HasPrefix(state, classConnection)
}

// full recognises a database without room. It has undone the statement.
func full(err error) bool {
	n := mysqlNumber(err)

	return sqlState(err) == stateDiskFull || n == mysqlDiskFull || n == mysqlTableFull || sqliteCode(err) == sqliteFull
}
