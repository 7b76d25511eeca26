package lease_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const length = 15 * time.Second

var errLine = errors.New("the line is broken")

// renewal is what a store does with a renewal. It returns after timeout at the latest.
type renewal func(ctx context.Context) (lease.Answer, error)

const timeout = 2 * time.Second

func renewed(context.Context) (lease.Answer, error) { return lease.Renewed, nil }
func settled(context.Context) (lease.Answer, error) { return lease.Settled, nil }
func taken(context.Context) (lease.Answer, error)   { return lease.Taken, nil }
func broken(context.Context) (lease.Answer, error)  { return 0, errLine }

func hanging(ctx context.Context) (lease.Answer, error) {
	<-ctx.Done()

	return 0, ctx.Err()
}

func slow(d time.Duration, then renewal) renewal {
	return func(ctx context.Context) (lease.Answer, error) {
		time.Sleep(d)

		return then(ctx)
	}
}

// owner writes down what its lease does with it, by the time since it began.
type owner struct {
	lease.Lease

	began time.Time

	mu       sync.Mutex
	next     []renewal // the next renewals' answers; the last one stays
	renewals []time.Duration
	ended    []ending
	failures []time.Duration
	losses   []time.Duration

	// reporting is how long Notice takes.
	reporting time.Duration
}

type ending struct {
	at     time.Duration
	reason lease.Reason
}

// start starts a lease whose run ends after an hour.
func start(t *testing.T, takeover bool, next ...renewal) *owner {
	t.Helper()

	return startUntil(t, takeover, time.Hour, next...)
}

func startUntil(t *testing.T, takeover bool, runEnd time.Duration, next ...renewal) *owner {
	t.Helper()

	o := &owner{began: time.Now(), next: next}
	o.start(t, takeover, runEnd)

	return o
}

// startReporting starts a lease whose owner takes a minute to report.
func startReporting(t *testing.T, takeover bool, next ...renewal) *owner {
	t.Helper()

	o := &owner{began: time.Now(), next: next, reporting: time.Minute}
	o.start(t, takeover, time.Hour)

	return o
}

func (o *owner) start(t *testing.T, takeover bool, runEnd time.Duration) {
	t.Helper()

	o.Start(t.Context(), new(lease.Keeper), o, lease.Terms{Length: length, Anchor: o.began, RunEnd: o.began.Add(runEnd), Takeover: takeover})
	t.Cleanup(o.Stop)
}

func (o *owner) Renew(ctx context.Context) (lease.Answer, error) {
	o.mu.Lock()

	o.renewals = append(o.renewals, time.Since(o.began))
	next := o.next[0]

	if len(o.next) > 1 {
		o.next = o.next[1:]
	}

	o.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	return next(ctx)
}

func (o *owner) End(reason lease.Reason) {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.ended = append(o.ended, ending{time.Since(o.began), reason})
}

func (o *owner) Notice(n lease.Notice, err error) {
	o.mu.Lock()

	switch {
	case n == lease.Lost && err == nil:
		o.losses = append(o.losses, time.Since(o.began))
	case n == lease.RenewFailed && err != nil:
		o.failures = append(o.failures, time.Since(o.began))
	default:
		panic("a notice that nobody knows")
	}

	o.mu.Unlock()
	time.Sleep(o.reporting)
}

// then sets the answers to the next renewals.
func (o *owner) then(next ...renewal) {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.next = next
}

func (o *owner) mustHaveRenewed(t *testing.T, want ...time.Duration) {
	t.Helper()
	o.mustBe(t, "renewals", &o.renewals, want)
}

func (o *owner) mustHaveFailed(t *testing.T, want ...time.Duration) {
	t.Helper()
	o.mustBe(t, "failures", &o.failures, want)
}

func (o *owner) mustHaveLost(t *testing.T, want ...time.Duration) {
	t.Helper()
	o.mustBe(t, "losses", &o.losses, want)
}

func (o *owner) copyOf(list *[]time.Duration) []time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()

	return slices.Clone(*list)
}

func (o *owner) mustBe(t *testing.T, what string, list *[]time.Duration, want []time.Duration) {
	t.Helper()

	if got := o.copyOf(list); !slices.Equal(got, want) {
		t.Errorf("%s after %v, want %v", what, got, want)
	}
}

func (o *owner) mustGoOn(t *testing.T) {
	t.Helper()

	o.mu.Lock()
	defer o.mu.Unlock()

	if len(o.ended) != 0 {
		t.Errorf("the run was ended: %v", o.ended)
	}
}

func (o *owner) mustHaveEnded(t *testing.T, reason lease.Reason, at time.Duration) {
	t.Helper()

	o.mu.Lock()
	defer o.mu.Unlock()

	if want := []ending{{at, reason}}; !slices.Equal(o.ended, want) {
		t.Errorf("the run was ended %v, want %v", o.ended, want)
	}
}
