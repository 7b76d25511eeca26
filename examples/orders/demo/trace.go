package demo

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
)

// readTrace reads the entries of all processes. A killed process may leave half a line.
func readTrace(path string) ([]service.Entry, error) {
	file, err := os.Open(path) //nolint:gosec // the demo's own file
	if err != nil {
		return nil, fmt.Errorf("reading the trace: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read

	var all []service.Entry

	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var entry service.Entry
		if json.Unmarshal(lines.Bytes(), &entry) == nil {
			all = append(all, entry)
		}
	}

	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the trace: %w", err)
	}

	slices.SortStableFunc(all, func(a, b service.Entry) int { return a.At.Compare(b.At) })

	return all, nil
}

// callee returns the service of a method.
func callee(method string) string {
	switch method {
	case shopv1.GatewayService_Checkout_FullMethodName:
		return service.Gateway
	case shopv1.OrderService_Place_FullMethodName:
		return service.Orders
	case shopv1.ChargeService_Charge_FullMethodName:
		return service.Payments
	default:
		return service.Inventory
	}
}

// fate is the result of an attempt.
type fate string

const (
	fateExecuted fate = "executed"
	fateReplayed fate = "replayed"
	fateLost     fate = "lost" // there was no answer
	fateOther    fate = "other"
)

func fateOf(e *service.Entry) fate {
	switch onlyonce.Status(e.Status) {
	case onlyonce.StatusExecuted:
		return fateExecuted
	case onlyonce.StatusReplayed:
		return fateReplayed
	case "":
		return fateLost
	case onlyonce.StatusReleased, onlyonce.StatusUnknown, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected, onlyonce.StatusRejected:
		return fateOther
	default:
		return fateOther
	}
}

// hop counts the calls from one service to another.
type hop struct {
	From, To                                 string
	Calls, Attempts, Executed, Replays, Lost int
}

// hops sums up the attempts, in the order of the chain.
func hops(attempts []*service.Entry) []*hop {
	all := []*hop{
		{From: customers, To: service.Gateway}, {From: service.Gateway, To: service.Orders},
		{From: service.Orders, To: service.Payments}, {From: service.Orders, To: service.Inventory},
	}
	seen := make(map[string]bool)

	for _, a := range attempts {
		i := slices.IndexFunc(all, func(h *hop) bool { return h.From == a.Service && h.To == callee(a.Method) })
		if i < 0 {
			continue
		}

		h := all[i]
		h.Attempts++

		if call := a.Method + " " + a.Key; !seen[call] {
			seen[call] = true
			h.Calls++
		}

		switch fateOf(a) {
		case fateExecuted:
			h.Executed++
		case fateReplayed:
			h.Replays++
		case fateLost:
			h.Lost++
		case fateOther:
		}
	}

	return all
}

// chain has the attempts for one order, on all hops.
type chain struct {
	order    string
	attempts []*service.Entry
	replays  int
}

// chains groups the attempts by order. It follows the keys from run to run.
func chains(attempts []*service.Entry) []*chain {
	type call struct{ method, key string }

	orders := make(map[call]string)
	for _, a := range attempts {
		if a.ParentKey == "" {
			orders[call{a.Method, a.Key}] = a.Key
		}
	}

	// Entries are sorted by their start, so the attempts of a run come after the first attempt of its call.
	all := make(map[string]*chain)

	for _, a := range attempts {
		order, ok := orders[call{a.Method, a.Key}]
		if !ok {
			if order, ok = orders[call{a.ParentMethod, a.ParentKey}]; !ok {
				continue // the line of its parent was lost
			}

			orders[call{a.Method, a.Key}] = order
		}

		if all[order] == nil {
			all[order] = &chain{order: order}
		}

		c := all[order]
		c.attempts = append(c.attempts, a)

		if fateOf(a) == fateReplayed {
			c.replays++
		}
	}

	sorted := make([]*chain, 0, len(all))
	for _, c := range all {
		sorted = append(sorted, c)
	}

	slices.SortFunc(sorted, func(a, b *chain) int { return strings.Compare(a.order, b.order) })

	return sorted
}

// interesting returns the orders to draw: some with the most replays, and one with few attempts. Orders too large for a page are left out.
func interesting(all []*chain) []*chain {
	const (
		some = 4
		fits = 40
	)

	small := slices.DeleteFunc(slices.Clone(all), func(c *chain) bool { return len(c.attempts) > fits })
	slices.SortStableFunc(small, func(a, b *chain) int { return cmp.Compare(b.replays, a.replays) })

	chosen := slices.Clone(small[:min(some, len(small))])

	if len(small) > some {
		quiet := slices.MinFunc(small[some:], func(a, b *chain) int { return cmp.Compare(len(a.attempts), len(b.attempts)) })
		chosen = append(chosen, quiet)
	}

	return chosen
}
