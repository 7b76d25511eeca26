package chaos_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// operate looks keys up until the horizon, and settles unknown outcomes.
func (w *world) operate() {
	s := w.scenario
	rng := source(s.seed, "operator")
	idle := between(rng, s.policy.Lease/2, 4*s.policy.Lease)

	if w.habits.carelessOperator {
		idle = s.policy.Lease / 4
	}

	for time.Since(w.history.began) < s.horizon {
		time.Sleep(between(rng, 0, 2*idle))

		if all := w.identities(); len(all) > 0 {
			_ = w.settle(w.pick(rng), all[rng.IntN(len(all))])
		}
	}
}

// settle works like an operator: it looks up the record, reads the ledger, and resolves the record. "Nothing happened"
// is refused if the record was looked up while the owner may have been alive. A careless operator lies about the time.
func (w *world) settle(p *process, id onlyonce.Identity) error {
	rec, err := p.engine.Lookup(context.Background(), id)
	if err != nil || !rec.Unknown {
		return err
	}

	executed, body, found := w.found(id) > 0, []byte(nil), onlyonce.DidNotHappen()
	if executed {
		body = []byte(w.receipt(id, "the operator"))
		found = onlyonce.Happened("OK", body)
	}

	if w.habits.carelessOperator {
		rec.LookedUpAt = time.Now().Add(time.Hour)
	}

	done := w.history.startSettlement(id, executed, body)
	err = p.engine.Resolve(context.Background(), rec, found)
	done(err == nil)

	if errors.Is(err, onlyonce.ErrNotUnknown) {
		return nil
	}

	return err
}

// startSettlement records a settlement. Call the returned function with whether the settlement certainly took effect.
// If it is not certain, a late copy may still take effect.
func (h *history) startSettlement(id onlyonce.Identity, executed bool, body []byte) func(sure bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	s := &settlement{id: id, began: h.now()}
	if executed {
		s.value = valueOf(body, nil)
	}

	h.settled = append(h.settled, s)
	h.notef(id, "to be settled: executed %t %s", executed, s.value)

	return func(sure bool) {
		h.mu.Lock()
		defer h.mu.Unlock()

		s.ended, s.sure = h.now(), sure
		h.notef(id, "settled: sure %t", sure)
	}
}

// recovery is the recovery function of an attempt. It reads the ledger like the operator, and sometimes fails.
func (w *world) recovery(rng *rand.Rand, a *attempt) onlyonce.RecoverFunc {
	slow := between(rng, 0, w.scenario.limits.RecoverTimeout*5/4)
	fate := rng.IntN(10)

	return func(ctx context.Context, _ onlyonce.Record) (onlyonce.Finding, error) {
		effects := w.found(a.id)

		if !a.process.sleep(ctx, slow) {
			return onlyonce.StillUnknown(), errDied
		}

		switch {
		case fate == 0:
			return onlyonce.StillUnknown(), errors.New("the provider is down")
		case fate == 1:
			panic("the recovery function panics")
		case fate == 2:
			return onlyonce.StillUnknown(), nil
		case effects == 0:
			return onlyonce.DidNotHappen(), nil
		default:
			body := []byte(w.receipt(a.id, "recovery"))
			_ = w.history.startSettlement(a.id, true, body) // its result is not reported

			return onlyonce.Happened("OK", body), nil
		}
	}
}
