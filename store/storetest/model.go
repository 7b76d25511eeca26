package storetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// modelSteps is the length of a sequence of operations.
const modelSteps = 120

func modelChecks(seeds int) []check {
	checks := make([]check, 0, seeds)

	for seed := range uint64(seeds) {
		checks = append(checks, check{
			fmt.Sprintf("each has the effect of its Apply function, seed %d", seed),
			func(x *env) { newModel(x, seed).run() },
		})
	}

	return checks
}

// model performs random operations. It compares the result of each with the result of its Apply function on the record before, at the time
// at which the store decided.
type model struct {
	*env

	rand   *rand.Rand
	steps  int
	claims []store.Claim
	record store.Record
}

func newModel(x *env, seed uint64) *model {
	m := &model{env: x, rand: rand.New(rand.NewPCG(seed, 0)), steps: modelSteps}
	if !x.bubble {
		m.steps = modelSteps / 3
	}

	for range 3 {
		claim := x.newClaim()
		claim.Lease, claim.MaxRun = m.span(), m.span()
		claim.Guarantee = store.Guarantee(1 + m.rand.IntN(3))
		claim.MaxAttempts = m.rand.Uint32N(4)
		claim.Retention = []time.Duration{x.unit, 10 * x.unit, long}[m.rand.IntN(3)]

		m.claims = append(m.claims, claim)
	}

	m.claims[1].Note = []byte(aNote)

	// One of the three claims has another request, or a fingerprint that cannot be compared.
	m.claims[2].Fingerprint.Sum[0]++
	m.claims[2].Fingerprint.Scheme += uint16(m.rand.UintN(2))

	return m
}

// span draws a lease or a longest run.
func (m *model) span() time.Duration {
	return []time.Duration{m.unit, 3 * m.unit, long}[m.rand.IntN(3)]
}

func (m *model) run() {
	for step := range m.steps {
		if m.rand.IntN(8) == 0 {
			m.advance(m.unit * time.Duration(1+m.rand.IntN(3)))
		}

		name, got, apply := m.draw()
		want := apply(m.record, got.Now)

		if m.ambiguous(got.Now) {
			m.record = got.Record

			continue
		}

		if got.Applied != want.Applied {
			m.brokenf(table, "step %d: %s on a %v record: Applied is %t, must be %t",
				step, name, m.record.State, got.Applied, want.Applied)
		}

		if d := everything(&got.Record, &want.Record); d != "" {
			m.brokenf(table, "step %d: %s on a %v record: %s", step, name, m.record.State, d)

			return
		}

		m.record = got.Record
	}
}

// ambiguous reports whether the operation was so close to the end of a lease or a retention that rounding decides. Inside a bubble the
// clocks agree, and the exact instant is checked too.
func (m *model) ambiguous(now time.Time) bool {
	if m.bubble {
		return false
	}

	for i := range m.claims {
		if near(now, m.record.FirstStart.Add(m.claims[i].Retention)) {
			return true
		}
	}

	return near(now, m.record.LeaseUntil) || near(now, m.record.ExpiresAt) || near(now, m.record.OwnerAliveUntil)
}

type apply func(rec store.Record, now time.Time) store.Transition

// draw performs a random operation.
func (m *model) draw() (name string, got store.Result, as apply) {
	m.Helper()

	// Most claims expect the record's fence, so that they may win.
	claim := m.claims[m.rand.IntN(len(m.claims))]
	claim.Fence = m.record.Fence - min(m.record.Fence, uint64(m.rand.IntN(4)/3))
	outcome := []byte{byte(m.rand.IntN(2))}

	if m.record.Expired(m.now()) {
		claim.Fence = 0
	}

	var err error

	switch m.rand.IntN(16) {
	case 0, 1, 2, 3, 4, 5:
		name, as = "Claim", claim.Apply
		got, err = m.store.Claim(m.ctx, claim)
	case 6, 7, 8:
		op := store.Renewal{Key: m.key, Token: claim.Token, Lease: m.span()}
		name, as = "Renew", op.Apply
		got, err = m.store.Renew(m.ctx, op)
	case 9, 10:
		op := store.Completion{Key: m.key, Token: claim.Token, Outcome: outcome}
		name, as = "Complete", op.Apply
		got, err = m.store.Complete(m.ctx, op)
	case 11, 12:
		op := store.Release{Claim: claim, Ambiguous: m.rand.IntN(2) == 0}
		name, as = "Release", op.Apply
		got, err = m.store.Release(m.ctx, op)
	case 13:
		op := store.Hold{Key: m.key, Token: claim.Token, Outcome: outcome}
		name, as = "Hold", op.Apply
		got, err = m.store.Hold(m.ctx, op)
	case 14:
		return m.drawForgetting(claim.Token)
	default:
		return m.drawResolution(outcome)
	}

	return name, m.must(name, got, err), as
}

func (m *model) drawResolution(outcome []byte) (string, store.Result, apply) {
	m.Helper()

	op := store.Resolution{
		Key:     m.key,
		Token:   m.record.Token,
		Fence:   m.record.Fence - min(m.record.Fence, uint64(m.rand.IntN(4)/3)),
		State:   []store.State{store.Released, store.Completed}[m.rand.IntN(2)],
		Outcome: outcome,
	}

	if m.can.Inspector == nil {
		return m.drawNothing()
	}

	got, err := m.can.Inspector.Resolve(m.ctx, op)

	return "Resolve", m.must("Resolve", got, err), op.Apply
}

func (m *model) drawForgetting(by store.Token) (string, store.Result, apply) {
	m.Helper()

	op := store.Forgetting{
		Key:   m.key,
		Token: m.record.Token,
		Fence: m.record.Fence - min(m.record.Fence, uint64(m.rand.IntN(4)/3)),
		Force: m.rand.IntN(2) == 0,
	}

	if m.rand.IntN(4) == 0 {
		op.Token = by
	}

	if m.can.Forgetter == nil {
		return m.drawNothing()
	}

	got, err := m.can.Forgetter.Forget(m.ctx, op)

	return "Forget", m.must("Forget", got, err), op.Apply
}

// drawNothing performs a renewal with a foreign token, which changes nothing.
func (m *model) drawNothing() (string, store.Result, apply) {
	m.Helper()

	none := store.Renewal{}

	return "Renew", m.read(), none.Apply
}
