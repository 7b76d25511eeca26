package sqlstore

import "github.com/onlyonce-go/onlyonce/store"

// receipt is what the owner of a run remembers of the note that its claim has left. The statements that complete a running record recognise
// the record by it, so that they need not read it first.
type receipt struct {
	seal integer // of the note, or zero if there is none
	size int     // of the note, in bytes
}

// bare is the receipt of every run without a note.
var bare = new(receipt) //nolint:gochecknoglobals // never modified

// giveReceipt gives the owner of a run a receipt.
func giveReceipt(key *store.Key, res *store.Result) {
	switch {
	case !res.Applied:
	case len(res.Record.Outcome) == 0:
		res.Receipt = bare
	default:
		res.Receipt = receiptFor(key, &res.Record)
	}
}

// receiptFor is the receipt of a running record with a note.
func receiptFor(key *store.Key, rec *store.Record) *receipt {
	return &receipt{seal: outcomeSeal(key, store.Running, &rec.Token, rec.Outcome), size: len(rec.Outcome)}
}

// hasReceipt reports whether a completion has a receipt of this package.
func hasReceipt(op *store.Completion) bool {
	given, ok := op.Receipt.(*receipt)

	return ok && given != nil
}

// noteOf is the note that a running record must have for a completion. Without a receipt it is none: the statement then leaves a record
// with a note alone, and the store reads that.
func noteOf(op *store.Completion) receipt {
	if given, ok := op.Receipt.(*receipt); ok && given != nil && given.size > 0 {
		return *given
	}

	token := op.Token

	return receipt{seal: outcomeSeal(&op.Key, store.Running, &token, nil)}
}

// noNote is a note of no bytes: nil would be NULL.
var noNote any = []byte{} //nolint:gochecknoglobals // never modified

func noteArg(note []byte) any {
	if len(note) == 0 {
		return noNote
	}

	return note
}
