// Package sqlstoretest holds the tests of package sqlstore that need a database, with the drivers of all of them. It is
// a separate module, so that importers of the store link no driver.
package sqlstoretest
