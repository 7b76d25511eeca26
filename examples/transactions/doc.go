// Command transactions shows two ways to commit a handler's rows and the record of its call together, on SQLite. Run it with: go run
// ./examples/transactions
package main
