// Package servertest is what the servers have in common that tests start: a process that ends with the tests, a port, and
// patience.
package servertest
