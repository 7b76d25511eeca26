package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/onlyonce-go/onlyonce/examples/orders/service"
)

func draw(string, *trial) error { return nil }

// readTrace reads what all processes have written. A process that was killed may have left half a line.
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

	return all, nil
}
