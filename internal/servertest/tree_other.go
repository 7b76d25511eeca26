//go:build unix && !linux

package servertest

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// processes returns all processes by PID.
func processes() (map[int]status, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,state=").Output()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}

	all := make(map[int]status)

	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}

		pid, _ := strconv.Atoi(fields[0])
		parent, _ := strconv.Atoi(fields[1])
		all[pid] = status{parent: parent, state: fields[2]}
	}

	return all, nil
}
