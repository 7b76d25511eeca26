// Command transactions shows the two ways in which a handler's rows and the record of its call commit together, on SQLite: run it
// with go run ./examples/transactions.
package main
