package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF25SameKeyOnAnotherMethodIsAnotherCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore())

		var pays, refunds payments

		running := inBackground(t.Context(), e, pay("k"), pays.lasting(time.Second))

		synctest.Wait()

		refund := onlyonce.Call{Method: "/bank.Payments/Refund", Key: "k", Request: []byte("everything")}
		do(t, e, refund, func(ctx context.Context) ([]byte, error) {
			_, _ = refunds.do(ctx)

			return []byte("refunded"), nil
		}).mustBe(t, onlyonce.StatusExecuted, "refunded")

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, refund, refunds.do).mustBe(t, onlyonce.StatusReplayed, "refunded")
		pays.mustHaveRun(t, 1)
		refunds.mustHaveRun(t, 1)
	})
}

func TestF26SameKeyOfAnotherCallerIsAnotherCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		ann, bob := pay("k"), payOther("k")
		ann.Scope, bob.Scope = "ann", "bob"

		running := inBackground(t.Context(), e, ann, p.lasting(time.Second))

		synctest.Wait()
		do(t, e, bob, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-running).mustBe(t, onlyonce.StatusExecuted, "#2")

		nobody := pay("k")
		do(t, e, nobody, p.do).mustBe(t, onlyonce.StatusExecuted, "#3")

		for call, body := range map[string]string{"ann": "#2", "bob": "#1"} {
			again := pay("k")
			if again.Scope = call; call == "bob" {
				again.Request = bob.Request
			}

			do(t, e, again, p.do).mustBe(t, onlyonce.StatusReplayed, body)
		}
	})
}

func TestFingerprintsOfDifferentSchemesCountAsTheSameRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s, second, first := twoEngines(t, onlyonce.Policy{})
		observed := newEngine(t, s, onlyonce.WithObserver(seen))

		var p payments

		do(t, first, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

		call := pay("k")
		call.Fingerprint = store.Fingerprint{Scheme: 7, Sum: [32]byte{1}}

		do(t, second, call, p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		do(t, observed, call, p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		seen.mustHave(t, onlyonce.EventSchemeDiffers, 1)
	})
}

func TestF50HandlerThatChangesItsRequestChangesNoFingerprint(t *testing.T) {
	t.Parallel()

	e := newEngine(t, newFaultStore())
	call := pay("k")

	var p payments

	do(t, e, call, func(ctx context.Context) ([]byte, error) {
		copy(call.Request, "XXXXXX")

		return p.do(ctx)
	}).mustBe(t, onlyonce.StatusExecuted, "#1")

	do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
	do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)
}
