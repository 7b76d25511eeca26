package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// warning returns a sentence for the page if the machine has other work to do. It is empty if not, or if the system
// does not report it.
func warning(ctx context.Context) string {
	const (
		look  = 3 * time.Second
		quiet = 0.1
	)

	before, ok := readCPUTimes()
	if !ok {
		return ""
	}

	select {
	case <-time.After(look):
	case <-ctx.Done():
	}

	after, _ := readCPUTimes()

	busy := 1 - float64(after.idle-before.idle)/float64(max(after.all-before.all, 1))
	if busy < quiet {
		return ""
	}

	return fmt.Sprintf(" **The CPUs had other work for %.0f %% of the time before the first table. Measure again on a quiet machine.**",
		100*busy)
}

// cpuTimes are times of all CPUs since the start of the machine, in ticks.
type cpuTimes struct{ idle, all uint64 }

// readCPUTimes reads the counters of Linux.
func readCPUTimes() (times cpuTimes, ok bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return times, false
	}

	var user, nice, system, idle, wait, irq, soft, stolen uint64
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d %d",
		&user, &nice, &system, &idle, &wait, &irq, &soft, &stolen); err != nil {
		return times, false
	}

	return cpuTimes{idle: idle + wait, all: user + nice + system + idle + wait + irq + soft + stolen}, true
}
