// Package chaos holds the engine to its promise under everything that can go wrong at once.
//
// A run is a little world inside a bubble of testing/synctest: two or three processes, each an engine on an unreliable
// line of its own to one store; clients that retry with the same key, send duplicates, cancel and give up; handlers that
// take longer than their lease, ignore their context, fail, panic, or leave their effect to arrive after them; processes
// that die, pause for longer than a lease, are cut off or drained; a store that is slow and then down; an operator and
// recovery functions that settle what is unknown by looking into the ledger of the provider, where the effects happen.
// Then the faults stop, and everybody must get the one answer.
//
// Every call, run, effect and settlement is recorded, in the order in which they happened. The oracle looks at the whole
// of it: see oracle_test.go for what it asks for, and linear_test.go for the check of each key's history against a
// sequential model with porcupine. broken_test.go proves that the oracle can fail.
//
// A run is made from a seed:
//
//	go test -race -run TestRandomRuns . -seed 42 -runs 1     one run
//	go test -run TestRandomRuns . -runs 20000 -timeout 1h    many, each with the next seed
//
// The same is done in real time on stores outside the process, Redis and SQL databases (-redis-runs, -sql-runs). Under ExactlyOnce
// the effects are rows of the database that keeps the records, and count if they are committed.
//
// The seed fixes who calls when with what, how each handler behaves, when processes die, and what becomes of the n-th
// operation of a kind on a key. It fixes neither the order in which goroutines run that are due at the same instant, nor
// the engine's own jitter and tokens. So most failures come back with their seed at the first try, some only after
// several: -count repeats.
package chaos
