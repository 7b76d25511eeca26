// Package operate is what an operator does with the records of a store: list, settle, watch, check, plan and measure. The command
// onlyonce and the console are made of it, and so can a company's own tools be.
//
//   - [List] and [Watch] find the records whose outcome is unknown. A [Filter] selects among them.
//   - [Plan] describes what a settlement would do, and [Settle] does it. A settlement is fenced by the record that was read: if the record
//     has changed since, Settle changes nothing.
//   - [Doctor] reports whether a store is fit to keep records.
//   - [Capacity] computes the memory, disk and shards that a load needs. It is a pure function.
//   - [Bench] measures what a store can do from here, with records of its own that it removes.
//
// The package starts no goroutine that outlives a call, and depends on the standard library, package onlyonce and package store alone.
package operate
