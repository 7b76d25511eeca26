package sqlstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// mostBusyTimeout is the longest busy timeout of SQLite without a warning, in milliseconds, because SQLite ignores contexts during it.
const mostBusyTimeout = 1000

// mostLockWait is how long, in seconds, a session of MySQL may wait after its operation timed out, without a warning.
const mostLockWait = 5

// judge finds the settings that weaken the guarantees.
type judge struct {
	settings map[string]string
	version  string
	problems []error
	warnings []string
	found    []store.Diagnosis
}

// checked adds the result of a check: its error, or the text fine.
func (j *judge) checked(check, fine string, err error) {
	if err == nil {
		j.note(store.Diagnosis{Check: check, Found: fine})

		return
	}

	j.problem(check, err)
}

// problem adds the error of a check.
func (j *judge) problem(check string, err error) {
	j.problems = append(j.problems, err)
	j.note(store.Diagnosis{Check: check, Severity: store.SeverityFail, Found: strings.TrimPrefix(err.Error(), "sqlstore: ")})
}

// warning adds a warning of a check.
func (j *judge) warning(check, text string) {
	j.warnings = append(j.warnings, text)
	j.note(store.Diagnosis{Check: check, Severity: store.SeverityWarn, Found: text})
}

// refuse adds a problem if a setting has a value.
func (j *judge) refuse(setting, value, why string) {
	if !j.is(setting, value) {
		return
	}

	j.problems = append(j.problems, fmt.Errorf("sqlstore: %s is %s: %s", setting, value, why))
	j.note(diagnosed(setting, value, why, store.SeverityFail))
}

// warn adds a warning if a setting has a value.
func (j *judge) warn(setting, value, why string) {
	if !j.is(setting, value) {
		return
	}

	j.warnings = append(j.warnings, setting+" is "+value+": "+why)
	j.note(diagnosed(setting, value, why, store.SeverityWarn))
}

// is reports whether a setting has a value. It notes any other value as fine.
func (j *judge) is(setting, value string) bool {
	has, known := j.settings[setting]
	if known && has != value {
		j.note(store.Diagnosis{Check: setting, Found: setting + " is " + has})
	}

	return known && has == value
}

// note adds a diagnosis. Of several diagnoses of a check it keeps the worst.
func (j *judge) note(d store.Diagnosis) {
	for i := range j.found {
		if j.found[i].Check != d.Check {
			continue
		}

		if d.Severity > j.found[i].Severity {
			j.found[i] = d
		}

		return
	}

	j.found = append(j.found, d)
}

// diagnosed returns the diagnosis of a setting. The part of why behind the colon is the remedy.
func diagnosed(setting, value, why string, severity store.Severity) store.Diagnosis {
	consequence, remedy, _ := strings.Cut(why, ": ")

	return store.Diagnosis{
		Check: setting, Severity: severity, Found: setting + " is " + value + ": " + consequence, Remedy: cmp.Or(remedy, remedyFor(setting)),
	}
}

// remedyFor returns the remedy for a setting whose text has none.
func remedyFor(setting string) string {
	switch setting {
	case "fsync", "full_page_writes", "synchronous_commit":
		return "set " + setting + " to on"
	case "transaction_isolation", "tx_isolation":
		return "set READ COMMITTED for the role of the store"
	case "innodb_flush_log_at_trx_commit", "sync_binlog":
		return "set " + setting + " to 1"
	case "innodb_doublewrite":
		return "set " + setting + " to ON"
	case "query_only":
		return "open without PRAGMA query_only"
	default:
		return ""
	}
}

const (
	readOnly   = "nothing can be written: connect to the primary"
	crashLoses = "a crash of the machine loses acknowledged commits, and calls may run again"
	serialized = "concurrent operations are tried again; READ COMMITTED is enough for the store"
)

func (j *judge) postgresql() {
	j.version = j.settings["server_version"]
	j.refuse("in_recovery", "on", "the server is a replica and "+readOnly)

	if j.settings["in_recovery"] != "on" {
		j.refuse("transaction_read_only", "on", readOnly)
	}

	j.warn("fsync", "off", "a crash of the machine destroys the database")
	j.warn("full_page_writes", "off", "a crash of the machine may destroy pages")
	j.warn("synchronous_commit", "off", "a crash of the server loses the last acknowledged commits, and calls may run again")
	j.warn("transaction_isolation", "repeatable read", serialized)
	j.warn("transaction_isolation", "serializable", serialized)
}

func (j *judge) mysql() {
	j.version = j.settings["version"]
	j.refuse("autocommit", "OFF", "nothing that the store writes would be committed: set autocommit to 1")
	j.refuse("super_read_only", "ON", readOnly)
	j.refuse("innodb_read_only", "ON", readOnly)

	for _, name := range []string{"transaction_isolation", "tx_isolation"} {
		j.refuse(name, "READ-UNCOMMITTED", "records would be read that are never committed: set READ COMMITTED or more")
		j.warn(name, "SERIALIZABLE", serialized)
	}

	j.refuse("transaction_read_only", "ON", readOnly)
	j.refuse("tx_read_only", "ON", readOnly)

	for _, value := range []string{"0", "2"} {
		j.warn("innodb_flush_log_at_trx_commit", value, crashLoses)
	}

	for _, value := range []string{"CHAIN", "RELEASE"} {
		j.refuse("completion_type", value, "a COMMIT begins a transaction or ends the connection, so that what the store writes next "+
			"may be lost: set completion_type to NO_CHAIN")
	}

	if j.settings["log_bin"] == "ON" {
		j.refuse("binlog_format", "STATEMENT", "the server refuses changes at READ COMMITTED, so that nothing that has expired can be "+
			"deleted: set binlog_format to ROW or MIXED")
	}

	if slices.Contains(strings.Split(j.settings["sql_mode"], ","), "EMPTY_STRING_IS_NULL") {
		j.problem("sql_mode", errors.New("sqlstore: sql_mode has EMPTY_STRING_IS_NULL: a record without an outcome could not be written: "+
			"leave that mode out of the sessions of the store"))
	}

	// MariaDB bounds each statement.
	wait, err := strconv.ParseInt(j.settings["innodb_lock_wait_timeout"], 10, 64)
	if err == nil && wait > mostLockWait && !strings.Contains(j.version, "MariaDB") {
		j.warn("innodb_lock_wait_timeout", j.settings["innodb_lock_wait_timeout"], "the session of a timed-out operation waits "+
			"for a lock so many seconds: open with innodb_lock_wait_timeout=1")
	}

	j.warn("innodb_doublewrite", "OFF", "a crash of the machine may destroy pages")

	if j.settings["log_bin"] == "ON" && j.settings["sync_binlog"] != "1" {
		j.warn("sync_binlog", j.settings["sync_binlog"], "a crash of the machine may leave replicas without acknowledged commits")
	}
}

func (j *judge) sqlite() {
	j.version = j.settings["version"]

	if j.settings["file"] == "" {
		j.problem("file", errors.New("sqlstore: the database is in memory, where every connection has one of its own: open a file, "+
			"or use memstore"))
	} else if mode := j.settings["journal_mode"]; mode != "wal" {
		j.problem("journal_mode", fmt.Errorf("sqlstore: journal_mode is %s, where readers and writers keep each other out: "+
			"open with PRAGMA journal_mode = WAL", mode))
	} else {
		j.note(store.Diagnosis{Check: "journal_mode", Found: "journal_mode is wal"})
	}

	j.refuse("query_only", "1", "nothing can be written")
	j.refuse("synchronous", "0", "a crash of the machine destroys the database: open with PRAGMA synchronous = FULL")
	j.warn("synchronous", "1", "with a write-ahead log, "+crashLoses+"; open with PRAGMA synchronous = FULL")

	if wait, err := strconv.Atoi(j.settings["busy_timeout"]); err == nil && wait > mostBusyTimeout {
		j.warn("busy_timeout", j.settings["busy_timeout"], "SQLite waits so many milliseconds and ignores deadlines; "+
			"the store waits by itself, so open with PRAGMA busy_timeout = 5")
	}
}
