package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// Verdict is the kind of a Decision.
type Verdict string

// The verdicts.
const (
	// Happened means that the effect has happened. Later calls with the key get the answer of the decision.
	Happened Verdict = "happened"
	// DidNotHappen means that the effect has not happened and can no longer happen. The next call with the key runs.
	DidNotHappen Verdict = "did not happen"
	// Forget removes the record. The next call with the key runs, even if an earlier call had an effect.
	Forget Verdict = "forget"
	// ForceForget removes a record whose owner may be alive, or that cannot be read. It has the same consequence as Forget.
	ForceForget Verdict = "forget by force"
)

// Decision is an operator's decision about a record.
type Decision struct {
	Verdict Verdict
	// Code and Body are the answer for later calls if the verdict is Happened, in the form of the transport. For gRPC, use [Answer] with
	// interceptor.FindingOf. Other verdicts ignore them.
	Code string
	Body []byte
	// Who is the operator's name. Reason is why the operator is sure. Both are required; 255 bytes of each are kept. They are kept with the
	// record. If the record is removed, the observer gets them.
	Who, Reason string
}

// Answer returns a Happened decision with the answer of a finding, such as interceptor.FindingOf returns. If the finding is not a
// onlyonce.Happened finding, the decision has no verdict, and Settle refuses it.
func Answer(found onlyonce.Finding, who, reason string) Decision {
	code, body, ok := found.Answer()
	if !ok {
		return Decision{Who: who, Reason: reason}
	}

	return Decision{Verdict: Happened, Code: code, Body: body, Who: who, Reason: reason}
}

// Settlement describes the effects of a decision on a record. Plan makes it, and Settle carries it out.
type Settlement struct {
	// Record is the record that was read. Settle changes nothing if the record has changed since.
	Record onlyonce.Record
	// Decision is the operator's decision.
	Decision Decision
	// From is the state of the record when it was read. To is its state after the settlement.
	From, To State
	// RunsAgain reports that the next call with the key runs. If false, the next call gets the answer.
	RunsAgain bool
	// Retention is how long the record stays after the settlement. It is zero if the record is removed.
	Retention time.Duration
	// Effects describes the effects in sentences, for people.
	Effects []string
	// Refused is the reason why the settlement is not possible, as far as the record shows, or nil. It matches ErrIncomplete,
	// onlyonce.ErrNotUnknown or onlyonce.ErrOwnerMayBeAlive.
	Refused error
}

// ErrIncomplete matches errors about a decision without a verdict, name, reason, or answer.
var ErrIncomplete = errors.New("operate: the decision is incomplete")

// Plan describes the effects of a decision on a record. It is a pure function.
func Plan(rec onlyonce.Record, d Decision) Settlement {
	s := Settlement{Record: rec, Decision: d, From: StateOf(&rec), Refused: cannot(&rec, &d)}

	switch d.Verdict {
	case Happened:
		s.To, s.Retention = StateCompleted, rec.Retention
		s.Effects = []string{
			fmt.Sprintf("The record becomes COMPLETED with the answer %s of %d bytes.", d.Code, len(d.Body)),
			"Calls with this key get the answer, including calls that wait now.",
			"The handler does not run again until the record expires.",
		}
	case DidNotHappen:
		s.To, s.Retention, s.RunsAgain = StateReleased, rec.Retention, true
		s.Effects = []string{
			"The record becomes RELEASED.",
			"The next call with this key runs the handler.",
		}
	case Forget, ForceForget:
		s.To, s.RunsAgain = StateAbsent, true
		s.Effects = []string{
			"The record is removed, with its answer if it has one.",
			"The next call with this key runs the handler, even if an earlier call had an effect.",
		}

		if d.Verdict == ForceForget {
			s.Effects = append(s.Effects, "A run that is still working continues. The next call may run at the same time.")
		}
	}

	if s.Retention > 0 {
		s.Effects = append(s.Effects, fmt.Sprintf("The record keeps the name and the reason, and expires after %v.", s.Retention))
	}

	return s
}

// cannot returns why a decision is not possible, or nil.
func cannot(rec *onlyonce.Record, d *Decision) error {
	forgets := d.Verdict == Forget || d.Verdict == ForceForget

	switch {
	case d.Verdict != Happened && d.Verdict != DidNotHappen && !forgets:
		return fmt.Errorf("%w: record %v: no verdict: decide whether the effect has happened", ErrIncomplete, rec.ID)
	case strings.TrimSpace(d.Who) == "":
		return fmt.Errorf("%w: record %v: no operator: give a name", ErrIncomplete, rec.ID)
	case strings.TrimSpace(d.Reason) == "":
		return fmt.Errorf("%w: record %v: no reason: give one", ErrIncomplete, rec.ID)
	case d.Verdict == Happened && d.Code == "":
		return fmt.Errorf("%w: record %v: no answer: give its code", ErrIncomplete, rec.ID)
	case d.Verdict == ForceForget:
		return nil
	case rec.State == store.Absent:
		return fmt.Errorf("%w: no record %v", onlyonce.ErrNotUnknown, rec.ID)
	case !forgets && !rec.Unknown:
		return fmt.Errorf("%w: record %v is %v", onlyonce.ErrNotUnknown, rec.ID, rec.State)
	case d.Verdict != Happened && rec.OwnerMayBeAlive(rec.LookedUpAt):
		return fmt.Errorf("%w: look up record %v again after %s", onlyonce.ErrOwnerMayBeAlive, rec.ID,
			rec.OwnerAliveUntil.UTC().Format(time.RFC3339))
	default:
		return nil
	}
}

// Settle carries out a settlement, unless the record has changed since it was read. It is safe to repeat.
//
// The error is that of Settlement.Refused, or an error of the store, or it matches onlyonce.ErrRecordChanged, ErrNotUnknown,
// ErrOwnerMayBeAlive or ErrNotSupported. After an error of the store, the settlement may have taken effect. Look the record up, or repeat
// the settlement.
func Settle(ctx context.Context, engine *onlyonce.Engine, s Settlement) error {
	if err := cannot(&s.Record, &s.Decision); err != nil {
		return err
	}

	d := &s.Decision

	switch d.Verdict {
	case Happened:
		return engine.Resolve(ctx, s.Record, onlyonce.Happened(d.Code, d.Body).By(d.Who, d.Reason))
	case DidNotHappen:
		return engine.Resolve(ctx, s.Record, onlyonce.DidNotHappen().By(d.Who, d.Reason))
	case ForceForget:
		return engine.ForceForget(ctx, s.Record, d.Reason+" (by "+d.Who+")")
	case Forget:
		return engine.Forget(ctx, s.Record, d.Reason+" (by "+d.Who+")")
	default:
		return ErrIncomplete // unreachable: cannot refuses other verdicts
	}
}
