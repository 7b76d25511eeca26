// Package txstore is a store in memory that gives its records transactions, for tests of what the engine makes of them without a
// database. It behaves as a database with row locks and snapshots does: whoever changes a record that a transaction has changed
// waits for the end of that transaction, and readers see what was committed before.
package txstore
