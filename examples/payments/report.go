package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// report prints the table, and the lines that a program can read.
func report(w io.Writer, trials ...*trial) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight) // the gap between columns

	row := func(name string, cell func(*trial) any) {
		_, _ = fmt.Fprint(table, name, "\t")

		for _, t := range trials {
			_, _ = fmt.Fprint(table, cell(t), "\t")
		}

		_, _ = fmt.Fprintln(table)
	}

	row("", func(t *trial) any {
		return map[mode]string{modePlain: "plain retries", modeOnlyonce: "onlyonce", modeNoKit: "client alone"}[t.mode]
	})
	row("", func(*trial) any { return strings.Repeat("-", 13) }) // as wide as the head
	row("asked to pay", func(t *trial) any { return t.requested })
	row("answered", func(t *trial) any { return t.answered })
	row("charges in the ledger", func(t *trial) any { return t.charged })
	row("orders charged twice or more", func(t *trial) any { return t.doubled })
	row("orders never charged", func(t *trial) any { return t.missing })
	row("submissions", func(t *trial) any { return t.submitted })
	row("attempts", func(t *trial) any { return t.attempts })
	row("answered by a replay", func(t *trial) any {
		if t.mode == modePlain {
			return "-"
		}

		return t.statuses[onlyonce.StatusReplayed]
	})
	row("connections broken before", func(t *trial) any { return t.faults.Resets })
	row("replies lost", func(t *trial) any { return t.faults.LostReplies })
	row("replies late", func(t *trial) any { return t.faults.LateReplies })

	reportFaults(row, trials)

	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}

	_, _ = fmt.Fprintln(w)

	return reportResults(w, trials)
}

// reportFaults adds the rows about killed servers, unknown outcomes and times.
func reportFaults(row func(name string, cell func(*trial) any), trials []*trial) {
	if slices.ContainsFunc(trials, func(t *trial) bool { return t.killed > 0 }) {
		row("servers killed", func(t *trial) any { return t.killed })
	}

	row("unknown outcomes", func(t *trial) any {
		if t.mode == modePlain {
			return "-"
		}

		return t.unknown
	})

	if slices.ContainsFunc(trials, func(t *trial) bool { return t.settled > 0 }) {
		row("settled by reconcilers", func(t *trial) any {
			if t.mode != modeOnlyonce {
				return "-"
			}

			return t.settled
		})
	}

	row("p50", func(t *trial) any { return t.quantile(0.50) }) // the median
	row("p99", func(t *trial) any { return t.quantile(0.99) }) // the slowest hundredth
	row("took", func(t *trial) any { return t.took.Round(10 * time.Millisecond) })
}

// reportResults prints an error of the client alone, and the lines for programs.
func reportResults(w io.Writer, trials []*trial) error {
	for _, t := range trials {
		if t.mode == modeNoKit && t.reason != "" {
			_, _ = fmt.Fprintf(w, "client alone: %d orders have an unknown outcome, and the client does not retry them. One of the errors:\n%s\n\n",
				t.unknown, t.reason)
		}
	}

	for _, t := range trials {
		rest := fmt.Sprintf("missing=%d", t.missing)
		if t.mode == modeNoKit {
			rest = fmt.Sprintf("unknown=%d", t.unknown)
		}

		if _, err := fmt.Fprintf(w, "result mode=%s requested=%d charged=%d doubled=%d %s\n",
			t.mode, t.requested, t.charged, t.doubled, rest); err != nil {
			return fmt.Errorf("printing the result: %w", err)
		}
	}

	return nil
}

// quantile is the latency that the given part of the submissions did not exceed.
func (t *trial) quantile(part float64) time.Duration {
	if len(t.latencies) == 0 {
		return 0
	}

	i := min(int(part*float64(len(t.latencies))), len(t.latencies)-1)

	return t.latencies[i].Round(100 * time.Microsecond) // finer is noise
}

// meter shows progress: a bar on a terminal, a line for every quarter elsewhere.
type meter struct {
	w        io.Writer
	name     string
	total    int
	terminal bool

	mu   sync.Mutex
	done int
}

func newMeter(w io.Writer, name string, total int) *meter {
	m := &meter{w: w, name: name, total: total}

	if file, ok := w.(*os.File); ok {
		if info, err := file.Stat(); err == nil {
			m.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}

	return m
}

// step counts an order, if it is its first submission.
func (m *meter) step(first bool) {
	if !first {
		return
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	m.done++

	const (
		width    = 40
		quarters = 4
	)

	switch {
	case m.terminal:
		filled := m.done * width / m.total
		_, _ = fmt.Fprintf(m.w, "\r%-9s [%s%s] %d/%d", m.name, strings.Repeat("#", filled), strings.Repeat(".", width-filled), m.done, m.total)
	case m.done*quarters/m.total > (m.done-1)*quarters/m.total:
		_, _ = fmt.Fprintf(m.w, "%-9s %d/%d\n", m.name, m.done, m.total)
	}
}

func (m *meter) end() {
	if m.terminal {
		_, _ = fmt.Fprintln(m.w)
	}
}
