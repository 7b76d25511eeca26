// Package operate lists, settles and watches the records of a store. It also checks a store, plans its capacity and measures it. The
// onlyonce command and the console are built on it; your own tools can be, too.
//
//   - [List] and [Watch] find records with an unknown outcome. A [Filter] selects among them.
//   - [Plan] describes the effects of a settlement. [Settle] carries it out, unless the record has changed since it was read.
//   - [Doctor] reports whether a store is fit to keep records.
//   - [Capacity] computes the memory, disk and shards that a load needs.
//   - [Bench] measures a store with its own records, and removes them.
//
// The package starts no goroutine that outlives a call. It depends only on the standard library and the packages onlyonce and store.
package operate
