//go:build unix

package servers

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Program is a program that may need libraries of another system.
type Program struct {
	path      string
	loader    string // dynamic loader of its C library; "" means the system's
	libraries string // folder of its libraries
}

// Installed returns a program of this system.
func Installed(path string) Program { return Program{path: path} }

// Path returns the path of the program. Use Command to run it.
func (p Program) Path() string { return p.path }

// Beside returns another program in the same folder.
func (p Program) Beside(name string) Program {
	p.path = filepath.Join(filepath.Dir(p.path), name)

	return p
}

// Command returns a command that runs the program, like [exec.Command].
func (p Program) Command(args ...string) *exec.Cmd {
	if p.loader == "" {
		return exec.Command(p.path, args...)
	}

	return exec.Command(p.loader, append([]string{
		"--argv0", p.path, "--library-path", p.libraries, p.path,
	}, args...)...)
}

// in returns a program below a root folder that contains its libraries.
func in(root, path string) (Program, error) {
	program := filepath.Join(root, path)
	if _, err := filepath.EvalSymlinks(program); err != nil {
		return Program{}, fmt.Errorf("the unpacked packages have no %s: %w", path, err)
	}

	// Older releases have libraries below /lib, newer releases have a link there.
	for _, pattern := range []string{"usr/lib/*-linux-gnu/ld-linux-*.so.*", "lib/*-linux-gnu/ld-linux-*.so.*"} {
		loaders, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return Program{}, err
		}

		if len(loaders) == 1 {
			triplet := filepath.Base(filepath.Dir(loaders[0]))
			libraries := root + "/usr/lib/" + triplet + ":" + root + "/lib/" + triplet

			return Program{path: program, loader: loaders[0], libraries: libraries}, nil
		}
	}

	return Program{}, fmt.Errorf("the unpacked packages in %s have no loader of a C library", root)
}
