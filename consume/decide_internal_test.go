package consume

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlyonce-go/onlyonce"
)

// step is the delay of the nth attempt in the tests.
func step(attempt int) time.Duration { return time.Duration(attempt) * time.Hour }

func rejection(reason onlyonce.Reason) ending {
	return ending{err: &onlyonce.Rejection{Reason: reason, RetryAfter: time.Minute}}
}

func ended(status onlyonce.Status, failure error) ending {
	return ending{reply: onlyonce.Reply{Status: status}, ran: true, failure: failure}
}

func recorded(status onlyonce.Status, code, text string) ending {
	return ending{reply: onlyonce.Reply{Status: status, Code: code, Body: []byte(text), Recorded: status == onlyonce.StatusExecuted}}
}

func counted(e ending, runs, deliveries int) ending {
	e.runs, e.deliveries, e.counted = runs, deliveries, deliveries

	return e
}

func TestEveryEndOfADeliveryHasItsAction(t *testing.T) {
	t.Parallel()

	boom := errors.New("boom")
	recordedBoom := &onlyonce.RecordedError{Message: "boom"}
	dead, ack := DeadLetter, Ack

	for name, test := range map[string]struct {
		end       ending
		guarantee onlyonce.Guarantee // 0: AtLeastOnce
		final     Action
		want      Decision
	}{
		"executed":       {end: ended(onlyonce.StatusExecuted, nil), want: Decision{Action: ack, Cause: CauseDone}},
		"F08 unrecorded": {end: ended(onlyonce.StatusUnrecorded, nil), want: Decision{Action: ack, Cause: CauseDone}},
		"unprotected":    {end: ended(onlyonce.StatusUnprotected, nil), want: Decision{Action: ack, Cause: CauseDone}},
		"F05 replayed": {
			end: recorded(onlyonce.StatusReplayed, codeDone, ""), want: Decision{Action: ack, Cause: CauseDone, Replayed: true},
		},
		"committed by itself": {end: recorded(onlyonce.StatusExecuted, codeDone, ""), want: Decision{Action: ack, Cause: CauseDone}},

		"final": {
			end: ended(onlyonce.StatusExecuted, onlyonce.Final(boom)), final: dead, want: Decision{Action: dead, Cause: CauseFinal, Err: boom},
		},
		"final, acknowledged by choice": {
			end: ended(onlyonce.StatusExecuted, onlyonce.Final(boom)), final: ack, want: Decision{Action: ack, Cause: CauseFinal, Err: boom},
		},
		"final, unrecorded": {
			end: ended(onlyonce.StatusUnrecorded, onlyonce.Final(boom)), final: dead, want: Decision{Action: dead, Cause: CauseFinal, Err: boom},
		},
		"final, replayed": {
			end: recorded(onlyonce.StatusReplayed, codeFailed, "boom"), final: dead,
			want: Decision{Action: dead, Cause: CauseFinal, Replayed: true, Err: recordedBoom},
		},
		"final, committed by itself": {
			end: recorded(onlyonce.StatusExecuted, codeFailed, "boom"), final: dead,
			want: Decision{Action: dead, Cause: CauseFinal, Err: recordedBoom},
		},

		"F32 released": {
			end: counted(ended(onlyonce.StatusReleased, boom), 2, 3), want: Decision{Cause: CauseFailed, Err: boom, Delay: 2 * time.Hour},
		},
		"not executed": {
			end:  counted(ended(onlyonce.StatusReleased, onlyonce.NotExecuted(boom)), 1, 1),
			want: Decision{Cause: CauseFailed, Err: boom, Delay: time.Hour},
		},
		"ambiguous, at most once": {
			end: counted(ended(onlyonce.StatusUnknown, boom), 1, 1), want: Decision{Cause: CauseFailed, Err: boom, Delay: time.Hour},
		},
		"ambiguous, unrecorded": {
			end: counted(ended(onlyonce.StatusUnrecorded, boom), 1, 1), want: Decision{Cause: CauseFailed, Err: boom, Delay: time.Hour},
		},
		"ambiguous, unprotected": {
			end: ended(onlyonce.StatusUnprotected, boom), want: Decision{Cause: CauseFailed, Err: boom, Delay: time.Hour},
		},
		"F73 final, made ambiguous by the engine": {
			end:  ended(onlyonce.StatusUnknown, onlyonce.ErrStepUsed),
			want: Decision{Cause: CauseFailed, Err: onlyonce.ErrStepUsed, Delay: time.Hour},
		},
		"F55 poison": {
			end: counted(ended(onlyonce.StatusReleased, boom), 3, 3), want: Decision{Action: dead, Cause: CausePoison, Err: boom},
		},
		"poison, runs are not counted": {
			end: counted(ended(onlyonce.StatusReleased, boom), 0, 3), want: Decision{Action: dead, Cause: CausePoison, Err: boom},
		},
		"poison, deliveries are not counted": {
			end: counted(ended(onlyonce.StatusReleased, boom), 3, 0), want: Decision{Action: dead, Cause: CausePoison, Err: boom},
		},
		"many deliveries and few runs": {
			end: counted(ended(onlyonce.StatusReleased, boom), 2, 99), want: Decision{Cause: CauseFailed, Err: boom, Delay: 2 * time.Hour},
		},
		"few deliveries that count": {
			end:  ending{reply: onlyonce.Reply{Status: onlyonce.StatusReleased}, ran: true, failure: boom, deliveries: 99, counted: 2},
			want: Decision{Cause: CauseFailed, Err: boom, Delay: 2 * time.Hour},
		},
		"poison, the count of deliveries stands still": {
			end:  ending{reply: onlyonce.Reply{Status: onlyonce.StatusReleased}, ran: true, failure: boom, runs: 3, counted: 1, ranHere: 3},
			want: Decision{Action: dead, Cause: CausePoison, Err: boom},
		},
		"unknown, few deliveries that count": {
			end:  ending{err: &onlyonce.Rejection{Reason: onlyonce.ReasonOutcomeUnknown}, deliveries: 99, counted: 2},
			want: Decision{Cause: CauseUnknown, Delay: 99 * time.Hour},
		},
		"nothing is counted": {
			end: ended(onlyonce.StatusReleased, boom), want: Decision{Cause: CauseFailed, Err: boom, Delay: time.Hour},
		},
		"F33 panic": {
			end:  ending{err: &PanicError{Value: "boom"}, ran: true, runs: 1, deliveries: 1, counted: 1},
			want: Decision{Cause: CauseFailed, Err: &PanicError{Value: "boom"}, Delay: time.Hour},
		},
		"F33 panic, poison": {
			end:  ending{err: &PanicError{Value: "boom"}, ran: true, runs: 3, deliveries: 3, counted: 3},
			want: Decision{Action: dead, Cause: CausePoison, Err: &PanicError{Value: "boom"}},
		},
		"the database refused to commit": {
			end:  ending{reply: onlyonce.Reply{Status: onlyonce.StatusReleased, Refused: true, Err: boom}, ran: true},
			want: Decision{Cause: CauseFailed, Err: boom, Delay: time.Hour},
		},
		"the database refused to commit, poison": {
			end:  ending{reply: onlyonce.Reply{Status: onlyonce.StatusReleased, Refused: true, Err: boom}, ran: true, deliveries: 3, counted: 3},
			want: Decision{Action: dead, Cause: CausePoison, Err: boom},
		},
		"the run of another delivery failed": {
			end:  ending{reply: onlyonce.Reply{Status: onlyonce.StatusReleased, Shared: true, Err: boom}, deliveries: 7},
			want: Decision{Cause: CauseFailed, Err: boom, Delay: 7 * time.Hour},
		},
		"a reply that is not known": {
			end: ending{reply: onlyonce.Reply{Status: onlyonce.StatusExecuted}}, want: Decision{Cause: CauseProgram, Delay: time.Hour},
		},

		"F35 key missing": {end: rejection(onlyonce.ReasonKeyMissing), want: Decision{Action: dead, Cause: CauseKey}},
		"F35 key invalid": {end: rejection(onlyonce.ReasonKeyInvalid), want: Decision{Action: dead, Cause: CauseKey}},
		"F24 key reused":  {end: rejection(onlyonce.ReasonKeyReused), want: Decision{Action: dead, Cause: CauseReused}},
		"F29 key expired": {end: rejection(onlyonce.ReasonKeyExpired), want: Decision{Action: dead, Cause: CauseExpired}},
		"in progress":     {end: rejection(onlyonce.ReasonInProgress), want: Decision{Cause: CauseInProgress, Delay: time.Hour}},
		"F16 lease lost":  {end: rejection(onlyonce.ReasonLeaseLost), want: Decision{Cause: CauseInProgress, Delay: time.Hour}},
		"F06 store down":  {end: rejection(onlyonce.ReasonStoreUnavailable), want: Decision{Cause: CauseStore, Delay: time.Hour}},
		"store full":      {end: rejection(onlyonce.ReasonStoreFull), want: Decision{Cause: CauseStore, Delay: time.Hour}},
		"record newer":    {end: rejection(onlyonce.ReasonRecordNewer), want: Decision{Cause: CauseStore, Delay: time.Hour}},
		"not supported":   {end: rejection(onlyonce.ReasonNotSupported), want: Decision{Cause: CauseProgram, Delay: time.Hour}},
		"scope missing":   {end: rejection(onlyonce.ReasonScopeMissing), want: Decision{Cause: CauseProgram, Delay: time.Hour}},
		"a new reason":    {end: rejection("NEW"), want: Decision{Cause: CauseProgram, Delay: time.Hour}},
		"store down often": {
			end: counted(rejection(onlyonce.ReasonStoreUnavailable), 0, 99), want: Decision{Cause: CauseStore, Delay: 99 * time.Hour},
		},
		"in progress often": {
			end: counted(rejection(onlyonce.ReasonInProgress), 0, 99), want: Decision{Cause: CauseInProgress, Delay: 99 * time.Hour},
		},

		"F03 unknown": {end: counted(rejection(onlyonce.ReasonOutcomeUnknown), 0, 2), want: Decision{Cause: CauseUnknown, Delay: 2 * time.Hour}},
		"unknown for long": {
			end: counted(rejection(onlyonce.ReasonOutcomeUnknown), 0, 3), want: Decision{Action: dead, Cause: CauseUnknown},
		},
		"unknown, not counted": {
			end: rejection(onlyonce.ReasonOutcomeUnknown), guarantee: onlyonce.AtMostOnce, want: Decision{Cause: CauseUnknown, Delay: time.Hour},
		},
		"F55 unknown after MaxAttempts, not counted": {
			end: rejection(onlyonce.ReasonOutcomeUnknown), want: Decision{Action: dead, Cause: CauseUnknown},
		},
		"F36 unreadable": {
			end: counted(rejection(onlyonce.ReasonRecordUnreadable), 0, 1), want: Decision{Cause: CauseUnreadable, Delay: time.Hour},
		},
		"F36 unreadable for long": {
			end: counted(rejection(onlyonce.ReasonRecordUnreadable), 0, 3), want: Decision{Action: dead, Cause: CauseUnreadable},
		},
		"F34 done, and not stored": {end: notStored(codeDone), want: Decision{Action: ack, Cause: CauseDone, Replayed: true}},
		"F34 final, and not stored": {
			end: notStored(codeFailed), final: dead,
			want: Decision{Action: dead, Cause: CauseFinal, Replayed: true, Err: &onlyonce.RecordedError{Message: "large"}},
		},

		"cancelled":   {end: ending{err: fmt.Errorf("gone: %w", context.Canceled)}, want: Decision{Cause: CauseStopping}},
		"deadline":    {end: ending{err: context.DeadlineExceeded}, want: Decision{Cause: CauseStopping}},
		"the program": {end: ending{err: onlyonce.ErrOwnKey}, want: Decision{Cause: CauseProgram, Delay: time.Hour}},
		"another's rejection": {
			end:  ending{err: fmt.Errorf("wrapped: %w", &onlyonce.Rejection{Reason: onlyonce.ReasonKeyReused})},
			want: Decision{Cause: CauseProgram, Delay: time.Hour},
		},
		"delivered too often": {end: ending{err: errTooOften, deliveries: 101}, want: Decision{Action: dead, Cause: CausePoison}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			r := rules{guarantee: onlyonce.AtLeastOnce, final: test.final, maxAttempts: 3, backoff: step}
			if test.guarantee != 0 {
				r.guarantee = test.guarantee
			}

			want := test.want
			if want.Err == nil && want.Cause != CauseDone {
				want.Err = test.end.err
			}

			same := cmp.Comparer(func(a, b error) bool { return fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b) })
			if diff := cmp.Diff(want, r.decide(&test.end), same); diff != "" {
				t.Errorf("the decision differs (-want +got):\n%s", diff)
			}
		})
	}
}

func notStored(code string) ending {
	return ending{err: &onlyonce.Rejection{
		Reason: onlyonce.ReasonOutcomeNotStored, Message: "large", Metadata: map[string]string{"original_code": code},
	}}
}

// The engine's own delay holds if it is longer.
func TestARejectedMessageWaitsForTheRetryAfterOfTheEngine(t *testing.T) {
	t.Parallel()

	r := rules{maxAttempts: 3, backoff: func(int) time.Duration { return -time.Hour }}
	end := rejection(onlyonce.ReasonStoreUnavailable)

	if got := r.decide(&end).Delay; got != time.Minute {
		t.Errorf("the delay is %v, want the rejection's minute", got)
	}

	failed := ended(onlyonce.StatusReleased, errors.New("boom"))
	if got := r.decide(&failed).Delay; got != 0 {
		t.Errorf("the delay is %v, want none rather than a negative one", got)
	}
}

func TestTheDefaultBackoffDoublesUpToAMinute(t *testing.T) {
	t.Parallel()

	for attempt, whole := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1 << 30: time.Minute,
	} {
		for range 100 {
			if got := backoff(attempt); got < whole/2 || got >= whole+whole/2 {
				t.Fatalf("after attempt %d the delay is %v, want %v to %v", attempt, got, whole/2, whole+whole/2)
			}
		}
	}
}
