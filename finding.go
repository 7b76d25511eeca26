package onlyonce

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

// Finding is the result of a search for the effect of a run whose outcome is unknown: [Happened], [DidNotHappen] or [StillUnknown], which
// is the zero value. A recovery function returns it, and [Engine.Resolve] settles a record with it.
type Finding struct {
	kind findingKind
	code string
	body []byte
	// by and reason are kept with the record.
	by, reason string
}

type findingKind uint8

const (
	stillUnknown findingKind = iota
	happened
	didNotHappen
)

// StillUnknown is the finding that it cannot be known yet whether the effect happened. It settles nothing. Use it too if the effect is not
// there and may still come.
func StillUnknown() Finding { return Finding{} }

// Happened is the finding that the effect has happened. Code and body are the answer that callers get, in the transport's form.
//   - For gRPC, use interceptor.FindingOf.
//   - For [Engine.Do], code is OK and body is the body of the Result, or code is ERROR and body is the text of a [*RecordedError].
func Happened(code string, body []byte) Finding {
	return Finding{kind: happened, code: code, body: body}
}

// DidNotHappen is the finding that the effect has not happened and cannot happen any more. It releases the key, so the next call runs. It
// is refused with ErrOwnerMayBeAlive if the owner of the run may have been alive when the record was read: see Record.OwnerAliveUntil.
func DidNotHappen() Finding { return Finding{kind: didNotHappen} }

// Answer returns the code and the body of a finding that [Happened] has made. Otherwise ok is false.
func (f Finding) Answer() (code string, body []byte, ok bool) {
	return f.code, f.body, f.kind == happened
}

// By returns the finding with the names of who found it and why. The record that it settles keeps the first 255 bytes of each: see
// Record.SettledBy. Characters that are not printable become spaces.
func (f Finding) By(who, reason string) Finding {
	f.by, f.reason = printable(who), printable(reason)

	return f
}

// maxNamed bounds the names and reasons that are kept with a record, in bytes.
const maxNamed = 255

// printable returns the first bytes of a text, without characters that could change a terminal or a log. It cuts no character in two.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}

		return ' '
	}, text)

	if len(text) <= maxNamed {
		return text
	}

	end := maxNamed
	for !utf8.RuneStart(text[end]) {
		end--
	}

	return text[:end]
}

// String returns the name of the finding.
func (f Finding) String() string {
	switch f.kind {
	case stillUnknown:
		return "still unknown"
	case happened:
		return "happened"
	case didNotHappen:
		return "did not happen"
	default:
		return fmt.Sprintf("findingKind(%d)", uint8(f.kind))
	}
}

var (
	errNothingFound = errors.New("onlyonce: resolving a record with StillUnknown settles nothing: find out whether the effect happened, " +
		"and give Happened or DidNotHappen")
	errTooLarge = errors.New("onlyonce: resolving a record: the answer of the finding is too large to keep")
)

// resolution is the operation that settles a record by the finding. An answer is kept without its body if that has more than most bytes.
func (f Finding) resolution(rec *Record, most int) store.Resolution {
	op := store.Resolution{Key: rec.ID, Token: rec.Token, Fence: rec.Fence, State: store.Released, AsOf: rec.LookedUpAt}
	attached := &outcome.Attached{Trace: rec.Trace, SettledBy: f.by, Reason: f.reason}

	if attached.Empty() {
		attached = nil
	}

	switch {
	case f.kind == happened:
		op.State, op.Outcome = store.Completed, outcome.Answer(&rec.ID, f.code, f.body, 0, most, attached)
	case attached != nil:
		note := outcome.Stored{Kind: outcome.KindResolution, Attached: *attached}
		op.Outcome = note.Encode(&rec.ID)
	}

	return op
}
