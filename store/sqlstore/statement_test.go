package sqlstore

import "testing"

func TestF74StatementsThatMayEndATransactionAreDetected(t *testing.T) {
	t.Parallel()

	for query, want := range map[string]effect{
		"SELECT 1": stays, "select 1;": stays, "(SELECT 1)": stays, "WITH x AS (SELECT 1) DELETE FROM y": stays,
		"\n-- COMMIT\nINSERT INTO x VALUES (1)": stays, "/* COMMIT */ UPDATE x SET y = 1": stays, "SAVEPOINT x": marks,
		"ROLLBACK TO x": stays, "ROLLBACK TO SAVEPOINT x": stays, "rollback work to x": stays, "ROLLBACK TRANSACTION TO x": stays,
		"RELEASE x": stays, "COMMITTED": stays,

		"COMMIT": ends, "commit;": ends, "COMMIT AND CHAIN": ends, "END": ends, "ABORT": ends, "ROLLBACK": ends, "ROLLBACK;": ends,
		"ROLLBACK WORK": ends, "ROLLBACK AND CHAIN": ends, "BEGIN": ends, "BEGIN IMMEDIATE": ends, "START TRANSACTION": ends,
		"PREPARE TRANSACTION 'x'": ends, ";;COMMIT": ends, "--x\nCOMMIT": ends, "/*x*/COMMIT": ends, "/*! COMMIT */": ends,
		"/*!50000 COMMIT */": ends, "# x\nCOMMIT": ends,

		"SELECT 1; COMMIT": mayEnd, "SAVEPOINT x; COMMIT": mayEnd, "ROLLBACK TO x; COMMIT": mayEnd, "SET x = 1; COMMIT": mayEnd,
		"/* /* */ */ COMMIT": mayEnd, "": mayEnd,
	} {
		for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
			if query == "COMMITTED" && d == MySQL {
				continue // which it does not know
			}

			if got := d.effectOf(query); got != want {
				t.Errorf("%v: %q has the effect %d, want %d", d, query, got, want)
			}
		}
	}

	// What commits in MySQL is a part of the transaction elsewhere.
	for _, query := range []string{
		"CREATE TABLE x (y int)", "TRUNCATE x", "CALL x()", "SET autocommit = 1", "LOCK TABLES x WRITE", "BEGIN NOT ATOMIC COMMIT END",
		"PREPARE x FROM 'COMMIT'", "START SLAVE",
	} {
		for d, want := range map[Dialect]effect{PostgreSQL: stays, MySQL: mayEnd, SQLite: stays} {
			if got := d.effectOf(query); got != want {
				t.Errorf("%v: %q has the effect %d, want %d", d, query, got, want)
			}
		}
	}
}
