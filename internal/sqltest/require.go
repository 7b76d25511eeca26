//go:build unix

package sqltest

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// find returns where a program is: in PATH, or where systems have it that keep it out of there.
func find(program, pkg string, elsewhere ...string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}

	for _, pattern := range elsewhere {
		found, err := filepath.Glob(filepath.Join(pattern, program))
		if err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}

	return "", fmt.Errorf("tests need %s, install it (make servers; Debian: apt-get install %s)", program, pkg)
}
