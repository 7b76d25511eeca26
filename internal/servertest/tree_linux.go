package servertest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processes returns all processes by PID.
func processes() (map[int]status, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}

	all := make(map[int]status, len(paths))

	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}

		// The name in the brackets may contain any characters.
		fields := strings.Fields(string(text[strings.LastIndex(string(text), ")")+1:]))
		if len(fields) < 2 {
			continue
		}

		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(fields[1])
		all[pid] = status{parent: parent, state: fields[0]}
	}

	return all, nil
}
