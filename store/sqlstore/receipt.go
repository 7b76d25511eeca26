package sqlstore

import "github.com/onlyonce-go/onlyonce/store"

// receipt is what the owner of a run remembers about the note of its claim. The statements that complete a running record compare it, so
// that the record need not be read first.
type receipt struct {
	seal integer // of the note; zero without a note
	size int     // of the note, in bytes
}

// bare is the receipt of every run without a note.
var bare = new(receipt) //nolint:gochecknoglobals // never modified

// giveReceipt adds the receipt of a run to its result.
func giveReceipt(key *store.Key, res *store.Result) {
	switch {
	case !res.Applied:
	case len(res.Record.Outcome) == 0:
		res.Receipt = bare
	default:
		res.Receipt = receiptFor(key, &res.Record)
	}
}

// receiptFor returns the receipt of a running record with a note.
func receiptFor(key *store.Key, rec *store.Record) *receipt {
	return &receipt{seal: outcomeSeal(key, store.Running, &rec.Token, rec.Outcome), size: len(rec.Outcome)}
}

// hasReceipt reports whether a completion has a receipt of this package.
func hasReceipt(op *store.Completion) bool {
	given, ok := op.Receipt.(*receipt)

	return ok && given != nil
}

// noteOf returns the note that a running record must have for a completion. Without a receipt it is none: the statement then does not match
// a record with a note, and the store reads the record.
func noteOf(op *store.Completion) receipt {
	if given, ok := op.Receipt.(*receipt); ok && given != nil && given.size > 0 {
		return *given
	}

	token := op.Token

	return receipt{seal: outcomeSeal(&op.Key, store.Running, &token, nil)}
}

// noNote is an empty note: nil would be NULL.
var noNote any = []byte{} //nolint:gochecknoglobals // never modified

func noteArg(note []byte) any {
	if len(note) == 0 {
		return noNote
	}

	return note
}
