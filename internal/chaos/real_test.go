package chaos_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// Runs in real time, on stores outside the process.

// newRealScenario is a scenario with short times and without simulated faults.
func newRealScenario(seed uint64, on string) *scenario {
	s := newScenario(seed)
	rng := source(seed, on)
	lease := between(rng, 250*time.Millisecond, 500*time.Millisecond)

	s.policy.Lease = lease
	s.policy.MaxRun = between(rng, lease, 2*lease)
	s.limits = onlyonce.Limits{
		StoreTimeout:   between(rng, 80*time.Millisecond, 250*time.Millisecond),
		SettleTimeout:  between(rng, 50*time.Millisecond, 300*time.Millisecond),
		RecoverTimeout: between(rng, 100*time.Millisecond, 300*time.Millisecond),
	}

	if s.policy.MaxWait != onlyonce.NoWait {
		s.policy.MaxWait = between(rng, 50*time.Millisecond, 2*lease)
	}

	s.faults = storetest.Faults{}
	s.horizon = between(rng, 2*time.Second, 3*time.Second)
	s.purposes = nil

	for crowd := range 4 { // more clients do not make a run longer
		for _, p := range randomPurposes(rng, s.horizon) {
			p.name = fmt.Sprintf("%s-%d", p.name, crowd)
			p.id.Key = fmt.Sprintf("%s-%d", p.id.Key, crowd)
			s.purposes = append(s.purposes, p)
		}
	}

	return s
}

// surroundings is a store outside the bubble, with its own faults and those of the connection.
type surroundings interface {
	// connect gives each process connections of its own. The store may be down.
	connect() backend
	// trouble makes faults until the horizon. Call it in the goroutine of the test.
	trouble(w *world)
	// calm gives processes that start from now on time enough for anything, however slow the machine is.
	calm(w *world)
}

// liveOutside is live in real time.
func (s *scenario) liveOutside(n surroundings) *history {
	w := &world{scenario: s, policy: s.policy, limits: s.limits, connect: n.connect, end: make(chan struct{})}
	w.ledger, _ = n.(ledger)
	w.history.began, w.history.realTime = time.Now(), true

	for range s.processes {
		w.live = append(w.live, w.startProcess(s.faults))
	}

	var clients, people sync.WaitGroup

	for i := range s.purposes {
		for n := range s.purposes[i].clients {
			clients.Go(func() { w.newClient(&s.purposes[i], n).fulfil() })
		}
	}

	people.Go(w.trouble)

	if s.operated {
		people.Go(w.operate)
	}

	n.trouble(w)
	people.Wait()

	w.heal()
	clients.Wait()
	w.arriveAll()
	n.calm(w)
	w.mustBeSettledIfNobodyDied()
	w.endDead()
	w.mustAnswer()

	for _, p := range w.all {
		p.line.Close()
	}

	w.close()
	w.history.took = time.Since(w.history.began)

	return &w.history
}

// calm gives processes that start from now on time enough for anything, and returns how much.
func (w *world) calm() time.Duration {
	const enough = 2 * time.Minute

	w.policy.Lease, w.policy.MaxRun = enough, enough
	w.limits = onlyonce.Limits{StoreTimeout: enough, SettleTimeout: enough}

	return enough
}
