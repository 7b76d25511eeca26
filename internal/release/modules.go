package main

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// A module is a module of this repository.
type module struct {
	folder   string   // below the root, with slashes; "" is the root itself
	path     string   // the module path
	requires []string // the paths of the modules of this repository that its go.mod requires
	replaces []string // the paths of the modules that its go.mod replaces
}

// program reports whether users install the module instead of importing it.
func (m module) program() bool { return strings.HasPrefix(m.folder, "cmd/") }

// imported reports whether users import packages of the module.
func (m module) imported() bool { return !m.program() && !m.forDevelopment() }

// forDevelopment reports whether the module is not for users.
func (m module) forDevelopment() bool {
	others := []string{"bench", "conformance", "examples", "internal"}

	return slices.ContainsFunc(strings.Split(m.folder, "/"), func(name string) bool { return slices.Contains(others, name) })
}

// tag is the name of the tag of a version of the module.
func (m module) tag(version string) string { return path.Join(m.folder, version) }

// published returns the modules that users need, and every module after those that it requires.
func published(all []module) ([]module, error) {
	byPath := make(map[string]module)
	for _, m := range all {
		byPath[m.path] = m
	}

	const visiting, done = 1, 2

	state := make(map[string]int)

	var (
		sorted []module
		visit  func(m module) error
	)

	visit = func(m module) error {
		switch state[m.path] {
		case done:
			return nil
		case visiting:
			return fmt.Errorf("module %s requires itself by way of others", m.path)
		}

		state[m.path] = visiting

		for _, required := range m.requires {
			other, ok := byPath[required]
			if !ok {
				return fmt.Errorf("module %s requires %s, which this repository does not have", m.path, required)
			}

			if err := visit(other); err != nil {
				return err
			}
		}

		state[m.path] = done
		sorted = append(sorted, m)

		return nil
	}

	for _, m := range slices.SortedFunc(maps.Values(byPath), func(a, b module) int { return cmp.Compare(a.folder, b.folder) }) {
		if m.forDevelopment() {
			continue
		}

		if err := visit(m); err != nil {
			return nil, err
		}
	}

	return sorted, nil
}

// checkReplaced returns an error if a module requires a module of this repository and does not replace it: a clone would not build.
func checkReplaced(all []module) error {
	for _, m := range all {
		for _, required := range m.requires {
			if !slices.Contains(m.replaces, required) {
				return fmt.Errorf("the go.mod of %s requires %s without replacing it by its folder; add the directive", m.path, required)
			}
		}
	}

	return nil
}

// sums are the two lines of go.sum for a version of a module.
type sums struct {
	Path     string `json:"Path"`
	Version  string `json:"Version"`
	Sum      string `json:"Sum"`
	GoModSum string `json:"GoModSum"`
}

// addSums returns a go.sum with the lines of more modules, in the order in which the go command writes them.
func addSums(text string, more []sums) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")

	for _, s := range more {
		at := slices.IndexFunc(lines, func(line string) bool { return line > s.Path+" " })
		if at < 0 {
			at = len(lines)
		}

		lines = slices.Insert(lines, at, s.Path+" "+s.Version+" "+s.Sum, s.Path+" "+s.Version+"/go.mod "+s.GoModSum)
	}

	return strings.Join(lines, "\n") + "\n"
}
