// Package sqltest runs real databases for tests, and breaks the lines to them.
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
// Most tests want an empty database of a server that all tests of their package share: [PostgresDatabase],
// [MariaDBDatabase]. A test that kills, restarts or pauses a server wants one of its own: [Postgres], [MariaDB]. A database
// of SQLite is a file: [SQLite]. All servers run on ports of their own with their files in folders of their own, and end
// with the tests, or with their process.
//
// A [Proxy] makes the faults of package proxytest: it knows statements, requests and replies, so that it can lose exactly
// one of them, and counts what passes. It does not follow encrypted or compressed lines.
//
// Drivers send some statements again by themselves. That of PostgreSQL, in version 5.12, says of a statement without
// arguments, and of all in its simple mode, that it was not sent when only the reply was lost: [database/sql] then has the
// pool send it again, but not what is sent on a [database/sql.Conn] or in a transaction.
//
// The functions that take a [testing.TB], and the methods of what they return, end the test when they fail, and so belong
// into its goroutine.
package sqltest
