// Package sqlstoretest holds the tests of package sqlstore that need a database, with the drivers of all of them. It is a module
// of its own, so that those who import the store link no driver.
package sqlstoretest
