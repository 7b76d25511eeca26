package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
)

// report prints the table, and the lines that a program can read.
func report(w io.Writer, page string, plain, protected *trial) error {
	if err := reportTable(w, plain, protected); err != nil {
		return err
	}

	for _, t := range []*trial{plain, protected} {
		killed := make([]string, 0, len(t.kills))
		for _, name := range slices.Backward(names()) {
			killed = append(killed, fmt.Sprintf("%s %d", name, t.kills[name]))
		}

		_, _ = fmt.Fprintf(w, "\nkilled, %s: %s", title(t.without), strings.Join(killed, ", "))
	}

	_, err := fmt.Fprintf(w, "\nwho called whom with which key, and what was a replay: %s\n\n"+
		"without orders=%d paid=%d stock_moved=%d doubled=%d missing=%d\n"+
		"result orders=%d paid=%d stock_moved=%d doubled=%d missing=%d\n",
		page,
		plain.requested, plain.audit.paid, plain.audit.stockMoved, plain.audit.doubled, plain.audit.missing,
		protected.requested, protected.audit.paid, protected.audit.stockMoved, protected.audit.doubled, protected.audit.missing)
	if err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}

	return nil
}

// reportTable prints a row for each figure and a column for each trial.
func reportTable(w io.Writer, plain, protected *trial) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight) // the gap between columns

	row := func(name string, cell func(*trial) any) {
		_, _ = fmt.Fprintf(table, "%s\t%v\t%v\t\n", name, cell(plain), cell(protected))
	}
	kit := func(count func(*trial) int) func(*trial) any {
		return func(t *trial) any {
			if t.without {
				return "-"
			}

			return count(t)
		}
	}

	row("", func(t *trial) any { return title(t.without) })
	row("", func(*trial) any { return strings.Repeat("-", len("plain retries")) })
	row("answered", func(t *trial) any { return t.answered })
	row("charges", func(t *trial) any { return t.audit.charges })
	row("withdrawals from the stock", func(t *trial) any { return t.audit.movements })
	row("pieces gone that nobody ordered", func(t *trial) any { return t.audit.pieces })
	row("orders of which something happened twice", func(t *trial) any { return t.audit.doubled })
	row("orders of which something is missing", func(t *trial) any { return t.audit.missing })
	row("attempts on all hops", func(t *trial) any { return len(t.attempts()) })
	row("answered by a replay", kit(func(t *trial) int { return t.replays() }))
	row("runs taken over from killed services", kit(func(t *trial) int { return t.takeovers() }))
	row("services killed", func(t *trial) any { return t.killed() })
	row("connections broken before", func(t *trial) any { return t.faults.Resets })
	row("replies lost", func(t *trial) any { return t.faults.LostReplies })
	row("replies late", func(t *trial) any { return t.faults.LateReplies })
	row("p50", func(t *trial) any { return t.quantile(0.50) }) // the median
	row("p99", func(t *trial) any { return t.quantile(0.99) }) // the slowest hundredth
	row("took", func(t *trial) any { return t.took.Round(10 * time.Millisecond) })

	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}

	return nil
}

func title(without bool) string {
	if without {
		return "plain retries"
	}

	return "onlyonce"
}

// quantile returns the latency that the given part of the answered orders did not exceed.
func (t *trial) quantile(part float64) time.Duration {
	if len(t.latencies) == 0 {
		return 0
	}

	i := min(int(part*float64(len(t.latencies))), len(t.latencies)-1)

	return t.latencies[i].Round(time.Millisecond) // finer is noise
}

func (t *trial) killed() (sum int) {
	for _, n := range t.kills {
		sum += n
	}

	return sum
}

// attempts returns the attempts of all calls.
func (t *trial) attempts() []*service.Entry {
	var all []*service.Entry

	for i := range t.entries {
		if t.entries[i].Kind == service.KindAttempt {
			all = append(all, &t.entries[i])
		}
	}

	return all
}

func (t *trial) replays() (n int) {
	for _, a := range t.attempts() {
		if a.Status == string(onlyonce.StatusReplayed) {
			n++
		}
	}

	return n
}

func (t *trial) takeovers() (n int) {
	for i := range t.entries {
		if t.entries[i].What == onlyonce.EventTakeover.String() {
			n++
		}
	}

	return n
}

// meter prints the progress of a trial.
type meter struct {
	w    io.Writer
	name string

	mu          sync.Mutex
	done, total int
}

func newMeter(w io.Writer, without bool, total int) *meter {
	return &meter{w: w, name: title(without), total: total}
}

// step counts an order, and prints a line for every quarter.
func (m *meter) step() {
	const quarters = 4

	m.mu.Lock()
	defer m.mu.Unlock()

	m.done++

	if m.done*quarters/m.total > (m.done-1)*quarters/m.total {
		_, _ = fmt.Fprintf(m.w, "%-13s %d/%d\n", m.name, m.done, m.total)
	}
}
