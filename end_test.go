package onlyonce

import (
	"errors"
	"fmt"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestEndingDecidesWhatIsWritten(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		end  ending
		want writing
	}{
		"definite":                               {ending{class: ClassDefinite}, writeOutcome},
		"definite error":                         {ending{class: ClassDefinite, failed: true}, writeOutcome},
		"not executed":                           {ending{class: ClassNotExecuted, failed: true}, writeRelease},
		"ambiguous, no takeover":                 {ending{class: ClassAmbiguous, failed: true}, writeHold},
		"ambiguous, takeover":                    {ending{class: ClassAmbiguous, failed: true, takeover: true}, writeDoubtful},
		"joined, nothing written":                {ending{shape: joined, class: ClassDefinite, takeover: true}, writeOutcome},
		"joined, written":                        {ending{shape: joined, class: ClassDefinite, join: joinWritten}, confirmCommit},
		"joined, written, then a definite error": {ending{shape: joined, class: ClassDefinite, failed: true, join: joinWritten}, writeOutcome},
		"joined, written, then not executed":     {ending{shape: joined, class: ClassNotExecuted, failed: true, join: joinWritten}, writeRelease},
		"joined, written, then ambiguous":        {ending{shape: joined, failed: true, takeover: true, join: joinWritten}, writeDoubtful},
		"joined, refused":                        {ending{shape: joined, class: ClassDefinite, join: joinRefused}, readRecord},
		"joined, refused, then ambiguous":        {ending{shape: joined, failed: true, join: joinRefused}, readRecord},
		"single, definite":                       {ending{shape: single, class: ClassDefinite}, commitTransaction},
		"single, definite error":                 {ending{shape: single, class: ClassDefinite, failed: true}, commitTransaction},
		"single, not executed":                   {ending{shape: single, class: ClassNotExecuted, failed: true}, rollBack},
		"single, ambiguous":                      {ending{shape: single, failed: true}, rollBack},
	} {
		if got := tt.end.writes(); got != tt.want {
			t.Errorf("%s: writes %d, want %d", name, got, tt.want)
		}
	}
}

func TestEndingDecidesWhatEverybodyGets(t *testing.T) {
	t.Parallel()

	type answers map[storeAnswer]conclusion

	own := func(status Status, waiters waitersGet) conclusion {
		return conclusion{caller: getsOwnAnswer, status: status, waiters: waiters}
	}
	lost := func(concluded conclusion) conclusion { concluded.lost = true; return concluded }
	later := func(concluded conclusion) conclusion { concluded.later = true; return concluded }
	record := conclusion{caller: getsRecord, waiters: waitersGetRecord}
	committed := conclusion{caller: getsCommitted, waiters: waitersGetRecord}
	overtaken := conclusion{caller: getsOvertaken, waiters: waitersStartOver}
	uncertain := conclusion{caller: getsUncertain, waiters: waitersGetRejection}
	notCommitted := conclusion{caller: getsNotCommitted, waiters: waitersGetRejection}

	for name, tt := range map[string]struct {
		end  ending
		want answers
	}{
		"leased, definite": {ending{class: ClassDefinite}, answers{
			answerApplied:   own(StatusExecuted, waitersGetRecord),
			answerNothing:   later(own(StatusUnrecorded, waitersGetNotStored)),
			answerTooLate:   later(own(StatusUnrecorded, waitersGetNotStored)),
			answerCompleted: lost(record),
			answerUnknown:   lost(record),
			answerReleased:  lost(own(StatusUnrecorded, waitersStartOver)),
			answerLost:      lost(own(StatusUnrecorded, waitersStartOver)),
			answerOvertaken: lost(overtaken),
		}},
		"leased, not executed": {ending{class: ClassNotExecuted, failed: true}, answers{
			answerApplied:   own(StatusReleased, waitersGetError),
			answerNothing:   later(own(StatusReleased, waitersGetError)),
			answerTooLate:   later(own(StatusUnknown, waitersGetError)),
			answerCompleted: lost(record),
			answerUnknown:   lost(own(StatusUnknown, waitersGetError)),
			answerReleased:  lost(own(StatusUnknown, waitersGetError)),
			answerLost:      lost(own(StatusUnknown, waitersGetError)),
			answerOvertaken: lost(own(StatusUnknown, waitersGetError)),
		}},
		"leased, not executed, doubtful": {ending{class: ClassNotExecuted, failed: true, doubtful: true}, answers{
			answerApplied: own(StatusUnknown, waitersGetError),
			answerNothing: later(own(StatusUnknown, waitersGetError)),
		}},
		"leased, ambiguous, held": {ending{failed: true}, answers{
			answerApplied:   own(StatusUnknown, waitersGetRecord),
			answerNothing:   later(own(StatusUnknown, waitersGetError)),
			answerCompleted: lost(record),
			answerOvertaken: lost(own(StatusUnknown, waitersGetError)),
		}},
		"leased, ambiguous, held, recoverable": {ending{failed: true, recoverable: true}, answers{
			answerApplied: own(StatusUnknown, waitersStartOver),
		}},
		"leased, ambiguous, released": {ending{failed: true, takeover: true}, answers{
			answerApplied: own(StatusUnknown, waitersGetError),
			answerTooLate: later(own(StatusUnknown, waitersGetError)),
		}},
		"joined, nothing written": {ending{shape: joined, class: ClassDefinite, takeover: true}, answers{
			answerApplied:   own(StatusExecuted, waitersGetRecord),
			answerNothing:   later(uncertain),
			answerCompleted: lost(record),
			answerReleased:  lost(notCommitted),
			answerLost:      lost(notCommitted),
			answerOvertaken: lost(overtaken),
		}},
		"joined, written": {ending{shape: joined, class: ClassDefinite, takeover: true, join: joinWritten}, answers{
			answerCommitted: committed,
			answerApplied:   notCommitted, // it was still running, and is released now
			answerNothing:   later(uncertain),
			answerTooLate:   later(uncertain),
			answerCompleted: lost(record),
			answerUnknown:   lost(record),
			answerReleased:  lost(notCommitted),
			answerLost:      lost(notCommitted),
			answerOvertaken: lost(overtaken),
		}},
		"joined, written, then ambiguous": {ending{shape: joined, failed: true, takeover: true, join: joinWritten}, answers{
			answerCommitted: committed, // whatever the handler returns
			answerApplied:   own(StatusUnknown, waitersGetError),
		}},
		"joined, refused": {ending{shape: joined, class: ClassDefinite, takeover: true, join: joinRefused}, answers{
			answerNothing:   overtaken,
			answerCompleted: lost(record),
			answerOvertaken: lost(overtaken),
			answerLost:      lost(notCommitted),
		}},
		"single, definite": {ending{shape: single, class: ClassDefinite, takeover: true}, answers{
			answerApplied:    own(StatusExecuted, waitersGetRecord),
			answerNothing:    uncertain,
			answerRolledBack: {caller: getsRolledBack, waiters: waitersGetRejection},
			answerCompleted:  record,
			answerUnknown:    record,
			answerOvertaken:  overtaken,
		}},
		"single, not executed": {ending{shape: single, class: ClassNotExecuted, failed: true, takeover: true}, answers{
			answerRolledBack: own(StatusReleased, waitersGetError),
			answerNothing:    own(StatusUnknown, waitersGetError), // the handler may have committed the transaction itself
			answerCompleted:  record,                              // by a run that began when this one had lost its transaction
			answerUnknown:    own(StatusUnknown, waitersGetError),
			answerReleased:   own(StatusUnknown, waitersGetError),
			answerLost:       own(StatusUnknown, waitersGetError),
			answerOvertaken:  own(StatusUnknown, waitersGetError),
		}},
		"single, ambiguous": {ending{shape: single, failed: true, takeover: true}, answers{
			answerRolledBack: own(StatusUnknown, waitersGetError),
		}},
	} {
		for answer, want := range tt.want {
			if got := tt.end.concludes(tt.end.writes(), answer); got != want {
				t.Errorf("%s, answer %d: %+v, want %+v", name, answer, got, want)
			}
		}
	}
}

// These rules hold for every kind of run and every answer of the store.
func TestNoEndOfARunBreaksAGuarantee(t *testing.T) {
	t.Parallel()

	cases := 0

	for _, e := range everyEnding() {
		for answer := answerNothing; answer <= answerRolledBack; answer++ {
			wrote := e.writes()
			concluded := e.concludes(wrote, answer)
			name := fmt.Sprintf("%+v, wrote %d, answer %d: %+v", e, wrote, answer, concluded)
			silent := answer == answerNothing || answer == answerTooLate

			if concluded.status == StatusExecuted && (answer != answerApplied || e.class != ClassDefinite) {
				t.Errorf("executed, and not recorded: %s", name)
			}

			if concluded.status == StatusUnrecorded && e.shape != leased {
				t.Errorf("an answer under EXACTLY_ONCE without a confirmed commit: %s", name)
			}

			if concluded.status == StatusReleased && (e.class != ClassNotExecuted || e.doubtful || answer == answerTooLate || concluded.lost) {
				t.Errorf("released, and it may have happened: %s", name)
			}

			if concluded.later && !silent {
				t.Errorf("written again although the store has answered: %s", name)
			}

			if rejected := concluded.rejection(nil) != nil; concluded.waiters == waitersGetRejection && !rejected {
				t.Errorf("duplicates are rejected and their leader is not: %s", name)
			}

			if (concluded.caller == getsRecord || concluded.caller == getsCommitted) && silent {
				t.Errorf("answered from a record that was not read: %s", name)
			}

			cases++
		}
	}

	if cases != 3*3*2*2*2*2*3*12 {
		t.Errorf("%d cases", cases)
	}
}

func everyEnding() (all []ending) {
	flags := []bool{false, true}

	for _, how := range []shape{leased, joined, single} {
		for class := ClassAmbiguous; class <= ClassNotExecuted; class++ {
			for _, failed := range flags {
				for _, doubtful := range flags {
					for _, takeover := range flags {
						for _, recoverable := range flags {
							for join := joinNothing; join <= joinRefused; join++ {
								all = append(all, ending{how, class, failed, doubtful, takeover, recoverable, join})
							}
						}
					}
				}
			}
		}
	}

	return all
}

func TestStoreAnswerNamesWhoHasTheRecord(t *testing.T) {
	t.Parallel()

	mine, other := store.Token{1}, store.Token{2}
	same := store.Fingerprint{Scheme: 1, Sum: [32]byte{1}}
	claim := &store.Claim{Token: mine, Fingerprint: same}
	record := func(state store.State, token store.Token) store.Record {
		return store.Record{State: state, Token: token, Fingerprint: same}
	}
	resolved := record(store.Completed, mine)
	resolved.Resolved = true
	foreign := record(store.Completed, other)
	foreign.Fingerprint.Sum = [32]byte{2}

	for name, tt := range map[string]struct {
		join joinState
		res  store.Result
		want storeAnswer
	}{
		"applied":                      {joinNothing, store.Result{Applied: true, Record: record(store.Completed, mine)}, answerApplied},
		"absent":                       {joinNothing, store.Result{}, answerLost},
		"another request's":            {joinNothing, store.Result{Record: foreign}, answerLost},
		"completed by its transaction": {joinWritten, store.Result{Record: record(store.Completed, mine)}, answerCommitted},
		"resolved after that":          {joinWritten, store.Result{Record: resolved}, answerCompleted},
		"completed for it":             {joinNothing, store.Result{Record: record(store.Completed, mine)}, answerCompleted},
		"completed by another":         {joinWritten, store.Result{Record: record(store.Completed, other)}, answerCompleted},
		"held by another":              {joinNothing, store.Result{Record: record(store.Unknown, other)}, answerUnknown},
		"resolved as not executed":     {joinNothing, store.Result{Record: record(store.Released, mine)}, answerReleased},
		"run by another":               {joinNothing, store.Result{Record: record(store.Running, other)}, answerOvertaken},
		"released by another":          {joinNothing, store.Result{Record: record(store.Released, other)}, answerOvertaken},
	} {
		if got := answerOf(claim, tt.join, &tt.res); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestF36CompletedRecordThatHoldsANoteIsUnreadable(t *testing.T) {
	t.Parallel()

	a := &attempt{engine: new(Engine), call: new(Call)}
	note := outcome.Stored{Kind: outcome.KindNote, Code: "PANIC"}

	_, err := a.answerFrom(&store.Record{State: store.Completed, Outcome: note.Encode(&a.claim.Key)})
	if !errors.Is(err, ReasonRecordUnreadable) {
		t.Errorf("got %v, want an unreadable record", err)
	}
}
