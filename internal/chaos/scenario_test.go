package chaos_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// scenario is the part of a run that its seed fixes as a whole.
type scenario struct {
	seed uint64

	policy   onlyonce.Policy
	limits   onlyonce.Limits
	faults   storetest.Faults
	notifies bool // the store notifies of changed records
	recovers bool // calls bring a recovery function
	immortal bool // no process dies
	operated bool // an operator is at work while the faults last, and not only at the end

	processes int
	horizon   time.Duration // when the faults stop
	purposes  []purpose
}

// purpose is something that somebody wants to happen once, and the clients who try to make it happen.
type purpose struct {
	name    string
	id      onlyonce.Identity
	clients int
	begins  time.Duration
}

// source returns a source of decisions. It depends on the seed and on the subject of the decision, and not on the order
// of decisions.
func source(seed uint64, about ...any) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, append([]any{seed, " "}, about...)...))))
}

// between draws a duration.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)+1))
}

func chance(rng *rand.Rand, p float64) bool { return rng.Float64() < p }

func newScenario(seed uint64) *scenario {
	rng := source(seed, "scenario")
	lease := between(rng, 500*time.Millisecond, 4*time.Second)

	s := &scenario{
		seed: seed,
		policy: onlyonce.Policy{
			Guarantee:   onlyonce.AtMostOnce,
			MaxAttempts: 1 + rng.IntN(5),
			Lease:       lease,
			MaxRun:      between(rng, lease, 4*lease),
			MaxWait:     between(rng, 100*time.Millisecond, 2*lease),
		},
		limits: onlyonce.Limits{
			StoreTimeout:   between(rng, 100*time.Millisecond, time.Second),
			SettleTimeout:  between(rng, 100*time.Millisecond, 3*time.Second),
			RecoverTimeout: between(rng, 200*time.Millisecond, 2*time.Second),
		},
		notifies:  chance(rng, 0.5),
		recovers:  chance(rng, 0.3),
		immortal:  chance(rng, 0.4),
		operated:  chance(rng, 0.5),
		processes: 2 + rng.IntN(2),
		horizon:   between(rng, 20*time.Second, 40*time.Second),
	}

	if chance(rng, 0.4) {
		s.policy.Guarantee = onlyonce.AtLeastOnce
	}

	if chance(rng, 0.2) && s.policy.Guarantee != onlyonce.AtMostOnce {
		s.policy.Detachment = onlyonce.Attached
	}

	if chance(rng, 0.2) {
		s.policy.MaxWait = onlyonce.NoWait
	}

	s.faults = randomFaults(rng, lease)
	s.purposes = randomPurposes(rng, s.horizon)

	return s
}

// randomFaults are the faults of a connection: a few of each kind, and in most runs many of one.
func randomFaults(rng *rand.Rand, lease time.Duration) storetest.Faults {
	few := func() float64 { return rng.Float64() * 0.05 }
	faults := storetest.Faults{
		LostRequest: few(), LostReply: few(), Late: few(), Repeat: few(), Error: few(), Full: few(), Slow: few(),
		Delay:  between(rng, 50*time.Millisecond, 1500*time.Millisecond),
		LateBy: between(rng, 500*time.Millisecond, 3*lease),
	}

	kinds := []*float64{&faults.LostRequest, &faults.LostReply, &faults.Late, &faults.Late, &faults.Repeat, &faults.Error, &faults.Slow}
	if n := rng.IntN(len(kinds) + 2); n < len(kinds) {
		*kinds[n] += rng.Float64() * 0.5
	}

	return faults
}

// randomPurposes are few, so that many clients meet at each. Scopes, methods and keys cross; two purposes may even share
// their identity, as when a client uses a key for another request.
func randomPurposes(rng *rand.Rand, horizon time.Duration) []purpose {
	var all []purpose

	for n := range 4 + rng.IntN(5) {
		id := onlyonce.Identity{
			Scope:  []string{"ann", "bob"}[n%2],
			Method: []string{"pay", "refund"}[n/2%2],
			Key:    fmt.Sprint("key-", n/4),
		}
		begins := between(rng, 0, horizon*2/3)
		all = append(all, purpose{name: fmt.Sprint("purpose-", n), id: id, clients: 1 + rng.IntN(5), begins: begins})

		if chance(rng, 0.2) {
			all = append(all, purpose{name: fmt.Sprint("rival-", n), id: id, clients: 1, begins: begins})
		}
	}

	return all
}
