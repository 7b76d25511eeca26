package onlyonce_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// mustNameTheFirst checks the rejection of another request under a key: it names the state of the first request, and
// it advises a new key only if the first request can no longer take effect.
func (a answer) mustNameTheFirst(t *testing.T, first string) {
	t.Helper()

	rejection := a.rejection(t, onlyonce.ReasonKeyReused)
	if got := rejection.Metadata["first"]; got != first {
		t.Errorf("first is %q, want %q", got, first)
	}

	open := first == "running" || first == "unknown"
	if warns := strings.Contains(rejection.Message, "may have taken effect"); warns != open {
		t.Errorf("first is %s, and the message is %q", first, rejection.Message)
	}

	if open && strings.Contains(rejection.Message, "new key") {
		t.Errorf("first is %s, and the message advises a new key: %q", first, rejection.Message)
	}

	if got := onlyonce.VerdictOf(rejection); got != onlyonce.VerdictUnknown {
		t.Errorf("the verdict is %v, want unknown", got)
	}
}

// F76: the rejection of another request under a key reports how the first one ended, in this process and in another one.
func TestF76KeyReusedHasTheStateOfTheFirstRequest(t *testing.T) {
	t.Parallel()

	atLeastOnce := onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}

	for name, tt := range map[string]struct {
		policy onlyonce.Policy
		ends   error
		want   string
	}{
		"completed":               {onlyonce.Policy{}, nil, "completed"},
		"completed with an error": {onlyonce.Policy{}, onlyonce.Final(errLine), "completed"},
		"completed and not kept":  {onlyonce.Policy{MaxOutcome: 1}, nil, "completed"},
		"released":                {onlyonce.Policy{}, onlyonce.NotExecuted(errLine), "released"},
		"released in doubt":       {atLeastOnce, errLine, "unknown"},
		"held":                    {onlyonce.Policy{}, errLine, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, here, there := twoEngines(t, tt.policy)

				var p payments

				_, _ = here.Do(t.Context(), pay("k"), p.failing(tt.ends))

				do(t, here, payOther("k"), p.do).mustNameTheFirst(t, tt.want)
				do(t, there, payOther("k"), p.do).mustNameTheFirst(t, tt.want)
				p.mustHaveRun(t, 1)
			})
		})
	}
}

func TestF76KeyReusedOfARunHasTheStateRunningOrUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, here, there := twoEngines(t, onlyonce.Policy{})

		var p payments

		running := inBackground(t.Context(), here, pay("k"), p.lasting(time.Minute))

		synctest.Wait()

		do(t, here, payOther("k"), p.do).mustNameTheFirst(t, "running")
		do(t, there, payOther("k"), p.do).mustNameTheFirst(t, "running")

		s.broken(lostRequest, opRenew)
		time.Sleep(16 * time.Second) // the lease has ended

		do(t, there, payOther("k"), p.do).mustNameTheFirst(t, "unknown")

		<-running
		p.mustHaveRun(t, 1)
	})
}

func TestF76KeyReusedDuringARecoveryHasTheStateUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore())

		var p payments

		_, _ = e.Do(t.Context(), pay("k"), p.failing(errLine))

		call := pay("k")
		call.Recover = func(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
			time.Sleep(time.Second)

			return onlyonce.Finding{}, nil
		}

		finding := inBackground(t.Context(), e, call, p.do)

		synctest.Wait()

		do(t, e, payOther("k"), p.do).mustNameTheFirst(t, "unknown")
		<-finding
		p.mustHaveRun(t, 1)
	})
}

// Duplicates in this process share the error of a run that left no outcome. Another request that waited with them
// learns how the run ended.
func TestF76KeyReusedOfASharedEndHasItsState(t *testing.T) {
	t.Parallel()

	for want, ends := range map[string]error{"released": onlyonce.NotExecuted(errLine), "unknown": errLine} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}))

				var p payments

				// The other call may be answered as soon as the run begins, so the test tries several times.
				for i := range int64(100) {
					key := fmt.Sprintf("k%d", i)

					s.next(opClaim, slow(time.Second))

					leader := inBackground(t.Context(), e, pay(key), p.failing(ends))

					synctest.Wait()

					other := <-inBackground(t.Context(), e, payOther(key), p.do) // the owner of the record is not known yet
					<-leader
					p.mustHaveRun(t, i+1)

					if other.rejection(t, onlyonce.ReasonKeyReused).Metadata["first"] != "running" {
						other.mustNameTheFirst(t, want)

						return
					}
				}

				t.Error("no call was answered after the run")
			})
		})
	}
}
