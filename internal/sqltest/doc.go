// Package sqltest runs real databases for tests, and breaks the connections to them.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(sqltest.Shared(m)) }
//
//	func TestStore(t *testing.T) {
//		proxy := sqltest.NewProxy(t, sqltest.PostgresDatabase(t))
//		db := proxy.DB(t)
//
//		lost := proxy.Next(sqltest.LostReply, sqltest.Starting("commit"))
//		…
//	}
//
// Most tests use an empty database of a server that all tests of their package share: [PostgresDatabase], [MariaDBDatabase].
// A test that kills, restarts or pauses a server starts its own: [Postgres], [MariaDB]. An SQLite database is a file: [SQLite].
// Each server has its own port and folder, and ends with its tests or with their process.
//
// A [Proxy] injects the faults of package proxytest. It knows statements, requests and replies. So it can lose exactly one of
// them, and it counts them. It does not follow encrypted or compressed connections.
//
// Drivers resend some statements. PostgreSQL's driver, in version 5.12, reports some statements as not sent although only the
// reply was lost: those without arguments, and all in its simple mode. Then the pool of [database/sql] resends the statement,
// except on a [database/sql.Conn] or in a transaction.
//
// Functions with a [testing.TB], and the methods of their results, fail the test on errors. Call them in the goroutine of the
// test.
package sqltest
