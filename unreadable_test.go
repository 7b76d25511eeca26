package onlyonce_test

import (
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// F36: a record that is there and damaged is not an absent record.
func TestF36DamagedOutcomeIsUnreadableAndRunsNothing(t *testing.T) {
	t.Parallel()

	for name, damage := range map[string]func(data []byte) []byte{
		"nothing left":       func([]byte) []byte { return nil },
		"one byte left":      func(data []byte) []byte { return data[:1] },
		"cut short":          func(data []byte) []byte { return data[:len(data)-1] },
		"header alone":       func(data []byte) []byte { return data[:7] },
		"one byte too many":  func(data []byte) []byte { return append(data, 0) },
		"first bit flipped":  func(data []byte) []byte { data[0] ^= 0x80; return data },
		"body bit flipped":   func(data []byte) []byte { data[len(data)-1] ^= 1; return data },
		"all zero":           func(data []byte) []byte { return make([]byte, len(data)) },
		"poisoned with text": func([]byte) []byte { return []byte("<html>502 Bad Gateway</html>") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			for _, fail := range []error{nil, errLine} { // completed, and held as unknown
				s := newFaultStore()
				e := newEngine(t, s)

				var p payments

				_ = do(t, e, pay("k"), p.failing(fail))
				s.rewriteAnswers(func(rec *store.Record) {
					rec.Outcome = damage(append([]byte(nil), rec.Outcome...))
				})

				got := do(t, e, pay("k"), p.do)
				got.mustBeRejected(t, onlyonce.ReasonRecordUnreadable)

				if !errors.Is(got.err, store.ErrUnreadable) || onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown {
					t.Errorf("%v has the outcome %v; want an unreadable record and unknown", got.err, onlyonce.VerdictOf(got.err))
				}

				p.mustHaveRun(t, 1)
			}
		})
	}
}

func TestF36OutcomeOfAnotherKeyIsUnreadable(t *testing.T) {
	t.Parallel()

	s := newFaultStore()
	e := newEngine(t, s)

	var p payments

	do(t, e, pay("ann"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
	do(t, e, pay("bob"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")

	of := func(key string) []byte {
		res, err := s.Lookup(t.Context(), onlyonce.StorageKey("", method, key))
		if err != nil {
			t.Fatal(err)
		}

		return res.Record.Outcome
	}

	for key, other := range map[string]string{"ann": "bob", "bob": "ann"} {
		s.rewriteAnswers(func(rec *store.Record) { rec.Outcome = of(other) })
		do(t, e, pay(key), p.do).mustBeRejected(t, onlyonce.ReasonRecordUnreadable)
	}

	p.mustHaveRun(t, 2)
}

func TestF39RecordOfANewerBuildIsLeftToAnotherReplica(t *testing.T) {
	t.Parallel()

	s := newFaultStore()
	e := newEngine(t, s)
	s.broken(failing(store.ErrNewer), opClaim)

	var p payments

	if rejection := do(t, e, pay("k"), p.do).rejection(t, onlyonce.ReasonRecordNewer); rejection.RetryAfter <= 0 {
		t.Error("the rejection does not say when to retry")
	}

	p.mustHaveRun(t, 0)
}

func TestF36LookupOfADamagedOutcomeReturnsTheRecordWithTheError(t *testing.T) {
	t.Parallel()

	s := newFaultStore()
	e := newEngine(t, s)
	crashed(t, s.mem, "k", onlyonce.AtMostOnce, onlyonce.DefaultLease)

	claim := store.Completion{Key: onlyonce.StorageKey("", method, "k"), Outcome: []byte("poison")}
	claim.Token = record(t, e, "k").Token

	if _, err := s.mem.Complete(t.Context(), claim); err != nil {
		t.Fatal(err)
	}

	rec, err := e.Lookup(t.Context(), identity("k"))
	if !errors.Is(err, store.ErrUnreadable) || rec.State != store.Completed {
		t.Errorf("Lookup = %v, %v; want the completed record and an error", rec.State, err)
	}
}
