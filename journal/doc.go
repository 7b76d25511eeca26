// Package journal lets a client finish its calls after a crash: each call is on the disk before it is sent, and a later process sends the
// calls that were left, with the same keys.
//
//	calls, err := journal.Open("payments.journal")
//	…
//	dial, err := interceptor.DialOptions(interceptor.WithJournal(calls))
//	conn, err := grpc.NewClient(target, append(dial, …)...)
//	…
//	summary, err := interceptor.Resume(ctx, calls, conn) // at the start, and whenever calls are left
//
// A call is in the journal from before its first attempt until its end is known:
//
//	written and synced ──► sent ──► answer ──┬─► final:        removed
//	                                         ├─► not executed: removed and synced, because the caller may use a new key
//	                                         └─► unknown:      left, until Resume gets a final answer
//
// A call that cannot be written is not sent. Calls that are written at the same time share one sync. Only one process at a time has the
// journal open. The lock of a process ends with the process.
//
// # The file
//
// The file has a header, twice, and records. A record has a marker that is random for each file, a sequence number, a length and two
// CRC-32C: of its header and of its body. A torn record at the end is truncated: its call was never sent. Damage elsewhere is reported by
// [Journal.Damage], and the damaged file is kept beside the journal. A record with a wrong checksum is never used.
//
// docs/journal.md has the details, and lists the limits of the journal.
package journal
