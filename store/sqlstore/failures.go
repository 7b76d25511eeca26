package sqlstore

import (
	"errors"
	"reflect"
	"slices"
	"strings"
)

// The codes of drivers' errors are read without the drivers' packages. PostgreSQL's drivers have a method SQLState, go-sql-driver/mysql has
// a field Number, and SQLite's drivers have a method or a field Code.

// The error codes that the store distinguishes.
const (
	stateSerialization = "40001" // also in MySQL, for 1213
	stateDeadlock      = "40P01"
	stateLockWait      = "55P03"
	stateCancelled     = "57014" // by statement_timeout, or by an administrator
	stateFailed        = "25P02" // an earlier statement of the transaction failed
	stateNoSavepoint   = "3B001"
	stateNoTable       = "42P01"
	stateNoTransaction = "25P01"
	stateDiskFull      = "53100"
	classConstraint    = "23"
	classGoingDown     = "57P"
	classConnection    = "08"

	mysqlRecordChanged = 1020 // in MariaDB, if a snapshot is older
	mysqlDiskFull      = 1021
	mysqlTableFull     = 1114
	mysqlLockWait      = 1205
	mysqlLocksFull     = 1206
	mysqlDeadlock      = 1213
	mysqlNoSavepoint   = 1305
	mysqlNoTable       = 1146
	mysqlTimedOut      = 3024
	mysqlNoWait        = 3572
	mariaTimedOut      = 1969

	sqliteError      = 1
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteFull       = 13
	sqliteConstraint = 19
)

// sqlState returns the SQLSTATE of PostgreSQL's answer, or "".
func sqlState(err error) string {
	var says interface{ SQLState() string }
	if errors.As(err, &says) {
		return says.SQLState()
	}

	return ""
}

// sqliteCode returns the primary result code of SQLite, or 0.
func sqliteCode(err error) int64 {
	var says interface{ Code() int }
	if errors.As(err, &says) {
		return int64(says.Code() & 0xff)
	}

	return field(err, "Code") & 0xff
}

// mysqlNumber returns the error number of MySQL's answer, or 0.
func mysqlNumber(err error) int64 { return field(err, "Number") }

// field returns a number in the struct of an error, or of an error that it wraps.
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

// blocked reports whether a wait for a lock took too long.
func (d Dialect) blocked(err error) bool {
	switch d {
	case PostgreSQL:
		return sqlState(err) == stateLockWait
	case MySQL:
		n := mysqlNumber(err)

		return n == mysqlLockWait || n == mysqlNoWait
	case SQLite:
		return false // nobody knows which lock
	default:
		return false
	}
}

// timedOut reports whether a statement exceeded a time limit of the database. It was undone.
func (d Dialect) timedOut(err error) bool {
	switch d {
	case PostgreSQL:
		return sqlState(err) == stateCancelled
	case MySQL:
		n := mysqlNumber(err)

		return n == mysqlTimedOut || n == mariaTimedOut
	case SQLite:
		return false
	default:
		return false
	}
}

// missing reports whether a table or a view does not exist.
func (d Dialect) missing(err error) bool {
	switch d {
	case PostgreSQL:
		return sqlState(err) == stateNoTable
	case MySQL:
		return mysqlNumber(err) == mysqlNoTable
	case SQLite:
		return sqliteCode(err) == sqliteError
	default:
		return false
	}
}

// noSavepoint reports whether a savepoint does not exist, because its transaction has ended.
func (d Dialect) noSavepoint(err error) bool {
	switch d {
	case PostgreSQL:
		state := sqlState(err)

		return state == stateNoSavepoint || state == stateNoTransaction
	case MySQL:
		return mysqlNumber(err) == mysqlNoSavepoint
	case SQLite:
		return sqliteCode(err) == sqliteError
	default:
		return false
	}
}

// constraint reports whether a constraint was violated.
func (d Dialect) constraint(err error) bool {
	switch d {
	case PostgreSQL:
		return strings.HasPrefix(sqlState(err), classConstraint)
	case MySQL:
		return slices.Contains([]int64{1022, 1048, 1062, 1169, 1216, 1217, 1451, 1452, 1557, 1761, 1762, 3819, 4025}, mysqlNumber(err))
	case SQLite:
		return sqliteCode(err) == sqliteConstraint
	default:
		return false
	}
}

// spoiled reports whether the handler caused the failure of the outcome's statement: it continued after a failed statement, or left rows
// that violate a constraint.
func (d Dialect) spoiled(err error) bool {
	return d.constraint(err) || d == PostgreSQL && sqlState(err) == stateFailed
}

// refuses reports whether the database refused to commit what was written, such as for a deferred constraint or trigger.
func (d Dialect) refuses(err error) bool {
	if d != PostgreSQL {
		return d.constraint(err)
	}

	state := sqlState(err)
	if len(state) != 5 {
		return false
	}

	switch state[:2] {
	case "08", "25", "26", "28", "34", "3D", "40", "53", "54", "55", "57", "58", "72", "F0", "HV", "XX":
		return false // about the server, its settings and other transactions
	default:
		return true
	}
}

// conflicts reports whether another transaction has ended this one.
func (d Dialect) conflicts(err error) bool {
	return d.undone(err) && mysqlNumber(err) != mysqlLockWait
}

// undone reports a serialization failure, a deadlock or a locked database.
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

// reported reports whether the error is an answer of the database, not an error of the connection.
func reported(err error) bool {
	return sqlState(err) != "" || mysqlNumber(err) != 0 || sqliteCode(err) != 0
}

// goingDown reports whether the server ends the connection.
func goingDown(err error) bool {
	state := sqlState(err)

	return strings.HasPrefix(state, classGoingDown) || strings.HasPrefix(state, classConnection)
}

// full reports whether the database is out of space. It has undone the statement.
func full(err error) bool {
	n := mysqlNumber(err)

	return sqlState(err) == stateDiskFull || n == mysqlDiskFull || n == mysqlTableFull || sqliteCode(err) == sqliteFull
}
