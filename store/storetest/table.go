package storetest

import "github.com/onlyonce-go/onlyonce/store"

// condition is the state in which an operation finds the record.
type condition string

const (
	absent    condition = "an absent record"
	alive     condition = "a RUNNING record with a living lease"
	ended     condition = "a RUNNING record with an ended lease"
	held      condition = "an UNKNOWN record"
	released  condition = "a RELEASED record"
	completed condition = "a COMPLETED record"
)

// operation is one of the five operations of Store, with its outcome.
type operation string

const (
	claims         operation = "Claim"
	renews         operation = "Renew"
	completes      operation = "Complete"
	completesOther operation = "Complete with another outcome"
	releases       operation = "Release"
	holds          operation = "Hold"
)

// party is whose token an operation has.
type party string

const (
	owner    party = "the owner"
	stranger party = "another token"
)

// expects is the fence that a claim, or the claim of a release, has.
type expects string

const (
	anyFence   expects = ""
	thisFence  expects = "expecting its fence"
	otherFence expects = "expecting another fence"
)

// under is the guarantee of the record and of the claim.
type under store.Guarantee

const (
	anyGuarantee = under(0)
	atMostOnce   = under(store.AtMostOnce)
	atLeastOnce  = under(store.AtLeastOnce)
	exactlyOnce  = under(store.ExactlyOnce)
)

// cell is a cell of the transition table.
type cell struct {
	found   condition
	op      operation
	by      party
	fence   expects
	under   under
	applied bool
	// becomes is the state afterwards. risen is how much the fence rises.
	becomes store.State
	risen   uint64
	rule    rule
}

const (
	yes = true
	no  = false
)

// cells is the transition table. If a fence or a guarantee is open, every one is tried.
func cells() []cell {
	return []cell{
		{absent, claims, stranger, thisFence, anyGuarantee, yes, store.Running, 1, atomicity},
		{absent, claims, stranger, otherFence, anyGuarantee, no, store.Absent, 0, expectedFence},
		{absent, renews, stranger, anyFence, atLeastOnce, no, store.Absent, 0, fenced},
		{absent, completes, stranger, anyFence, atLeastOnce, no, store.Absent, 0, fenced},
		{absent, releases, stranger, anyFence, atLeastOnce, yes, store.Released, 1, withdrawal},
		{absent, holds, stranger, anyFence, atLeastOnce, no, store.Absent, 0, fenced},

		{alive, claims, owner, anyFence, anyGuarantee, yes, store.Running, 0, resends},
		{alive, claims, stranger, anyFence, anyGuarantee, no, store.Running, 0, atomicity},
		{alive, renews, owner, anyFence, atLeastOnce, yes, store.Running, 0, resends},
		{alive, renews, stranger, anyFence, atLeastOnce, no, store.Running, 0, fenced},
		{alive, completes, owner, anyFence, anyGuarantee, yes, store.Completed, 0, resends},
		{alive, completes, stranger, anyFence, atLeastOnce, no, store.Running, 0, fenced},
		{alive, releases, owner, anyFence, anyGuarantee, yes, store.Released, 0, resends},
		{alive, releases, stranger, thisFence, anyGuarantee, no, store.Running, 1, withdrawal},
		{alive, releases, stranger, otherFence, atLeastOnce, no, store.Running, 0, fenced},
		{alive, holds, owner, anyFence, anyGuarantee, yes, store.Unknown, 0, resends},
		{alive, holds, stranger, anyFence, atLeastOnce, no, store.Running, 0, fenced},

		{ended, claims, owner, anyFence, anyGuarantee, yes, store.Running, 1, revival},
		{ended, claims, stranger, anyFence, atMostOnce, no, store.Running, 0, guarantee},
		{ended, claims, stranger, thisFence, atLeastOnce, yes, store.Running, 1, fenceOrder},
		{ended, claims, stranger, thisFence, exactlyOnce, yes, store.Running, 1, fenceOrder},
		{ended, claims, stranger, otherFence, atLeastOnce, no, store.Running, 0, expectedFence},
		{ended, claims, stranger, otherFence, exactlyOnce, no, store.Running, 0, expectedFence},
		{ended, renews, owner, anyFence, anyGuarantee, yes, store.Running, 1, revival},
		{ended, renews, stranger, anyFence, atLeastOnce, no, store.Running, 0, fenced},
		{ended, completes, owner, anyFence, anyGuarantee, yes, store.Completed, 0, settlement},
		{ended, completes, stranger, anyFence, atLeastOnce, no, store.Running, 0, fenced},
		{ended, releases, owner, anyFence, anyGuarantee, yes, store.Released, 0, settlement},
		{ended, releases, stranger, thisFence, anyGuarantee, no, store.Running, 1, withdrawal},
		{ended, releases, stranger, otherFence, atLeastOnce, no, store.Running, 0, fenced},
		{ended, holds, owner, anyFence, anyGuarantee, yes, store.Unknown, 0, settlement},
		{ended, holds, stranger, anyFence, atLeastOnce, no, store.Running, 0, fenced},

		{held, claims, owner, anyFence, anyGuarantee, no, store.Unknown, 0, settlement},
		{held, claims, stranger, anyFence, anyGuarantee, no, store.Unknown, 0, settlement},
		{held, renews, owner, anyFence, atLeastOnce, no, store.Unknown, 0, settlement},
		{held, renews, stranger, anyFence, atLeastOnce, no, store.Unknown, 0, fenced},
		{held, completes, owner, anyFence, anyGuarantee, yes, store.Completed, 0, settlement},
		{held, completes, stranger, anyFence, atLeastOnce, no, store.Unknown, 0, fenced},
		{held, releases, owner, anyFence, anyGuarantee, yes, store.Released, 0, settlement},
		{held, releases, stranger, thisFence, anyGuarantee, no, store.Unknown, 1, withdrawal},
		{held, releases, stranger, otherFence, atLeastOnce, no, store.Unknown, 0, fenced},
		{held, holds, owner, anyFence, anyGuarantee, yes, store.Unknown, 0, resends},
		{held, holds, stranger, anyFence, atLeastOnce, no, store.Unknown, 0, fenced},

		{released, claims, owner, anyFence, anyGuarantee, no, store.Released, 0, withdrawal},
		{released, claims, stranger, thisFence, anyGuarantee, yes, store.Running, 1, fenceOrder},
		{released, claims, stranger, otherFence, anyGuarantee, no, store.Released, 0, expectedFence},
		{released, renews, owner, anyFence, atLeastOnce, no, store.Released, 0, fenced},
		{released, renews, stranger, anyFence, atLeastOnce, no, store.Released, 0, fenced},
		{released, completes, owner, anyFence, atLeastOnce, no, store.Released, 0, fenced},
		{released, completes, stranger, anyFence, atLeastOnce, no, store.Released, 0, fenced},
		{released, releases, owner, anyFence, anyGuarantee, yes, store.Released, 0, resends},
		{released, releases, stranger, thisFence, anyGuarantee, no, store.Released, 1, withdrawal},
		{released, releases, stranger, otherFence, atLeastOnce, no, store.Released, 0, fenced},
		{released, holds, owner, anyFence, atLeastOnce, no, store.Released, 0, fenced},
		{released, holds, stranger, anyFence, atLeastOnce, no, store.Released, 0, fenced},

		{completed, claims, owner, anyFence, anyGuarantee, no, store.Completed, 0, finality},
		{completed, claims, stranger, anyFence, anyGuarantee, no, store.Completed, 0, finality},
		{completed, renews, owner, anyFence, atLeastOnce, no, store.Completed, 0, finality},
		{completed, renews, stranger, anyFence, atLeastOnce, no, store.Completed, 0, finality},
		{completed, completes, owner, anyFence, anyGuarantee, yes, store.Completed, 0, resends},
		{completed, completesOther, owner, anyFence, anyGuarantee, no, store.Completed, 0, finality},
		{completed, completes, stranger, anyFence, atLeastOnce, no, store.Completed, 0, finality},
		{completed, completesOther, stranger, anyFence, atLeastOnce, no, store.Completed, 0, finality},
		{completed, releases, owner, anyFence, anyGuarantee, no, store.Completed, 0, finality},
		{completed, releases, stranger, anyFence, anyGuarantee, no, store.Completed, 0, finality},
		{completed, holds, owner, anyFence, anyGuarantee, no, store.Completed, 0, finality},
		{completed, holds, stranger, anyFence, atLeastOnce, no, store.Completed, 0, finality},
	}
}
