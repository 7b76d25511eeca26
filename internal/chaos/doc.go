// Package chaos tests the guarantees of the engine under all faults at once.
//
// A run is a small world in a bubble of testing/synctest. Two or three processes each have an engine and an unreliable connection to one
// store. The world contains:
//
//   - clients that retry with the same key, send duplicates, cancel and give up
//   - handlers that run longer than their lease, ignore their context, fail, panic, or have a late effect
//   - processes that die, pause for longer than a lease, are cut off or drain
//   - a store that is slow and then down
//   - an operator and recovery functions that look into the provider's ledger, where the effects happen, and settle unknown outcomes
//
// In the end the faults stop, and every client must get the same answer.
//
// Every call, run, effect and settlement is recorded in order. The oracle checks the whole history: oracle_test.go has its rules, and
// linear_test.go checks each key against a sequential model with porcupine. broken_test.go proves that the oracle can fail.
//
// A seed determines a run:
//
//	go test -race -run TestRandomRuns . -seed 42 -runs 1     one run
//	go test -run TestRandomRuns . -runs 20000 -timeout 1h    many, each with the next seed
//
// The same runs exist in real time on Redis and SQL databases (-redis-runs, -sql-runs). Under ExactlyOnce the effects are committed rows in
// the database of the records.
//
// The seed fixes the calls of each client, the behaviour of each handler, the deaths of processes, and the result of the n-th operation of
// a kind on a key. It does not fix the order of goroutines that are due at the same instant, nor the engine's jitter and tokens. Most
// failures reproduce with their seed at once, some after several tries: use -count.
package chaos
