// Package txstore is a store in memory whose records have transactions, for tests of the engine without a database. Like a database with
// row locks and snapshots, it makes a writer wait while another transaction has changed the record, and readers see the last commit.
package txstore
