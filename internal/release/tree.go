package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tree is the path of a working tree of this repository.
type tree string

// command runs a command in a folder of the tree, and returns its output without the last newline.
func (t tree) command(ctx context.Context, folder string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer

	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the arguments are ours, but for the version, which is checked
	cmd.Dir = filepath.Join(string(t), filepath.FromSlash(folder))
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr

	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}

	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// git runs git in the tree.
func (t tree) git(ctx context.Context, args ...string) (string, error) {
	return t.command(ctx, "", append([]string{"git"}, args...)...)
}

// modules reads the modules of the tree, the root first.
func (t tree) modules(ctx context.Context) ([]module, error) {
	files, err := t.git(ctx, "ls-files", "go.mod", "*/go.mod")
	if err != nil {
		return nil, err
	}

	folders := []string{""}

	for file := range strings.FieldsSeq(files) {
		if folder, ok := strings.CutSuffix(file, "/go.mod"); ok {
			folders = append(folders, folder)
		}
	}

	var modules []module

	for _, folder := range folders {
		m, err := t.module(ctx, folder)
		if err != nil {
			return nil, err
		}

		modules = append(modules, m)
	}

	root := modules[0].path
	others := func(path string) bool { return path != root && !strings.HasPrefix(path, root+"/") }

	for i := range modules {
		modules[i].requires = slices.DeleteFunc(modules[i].requires, others)
		modules[i].replaces = slices.DeleteFunc(modules[i].replaces, others)
	}

	return modules, nil
}

// module reads the go.mod of a folder, with all that it requires and replaces.
func (t tree) module(ctx context.Context, folder string) (module, error) {
	text, err := t.command(ctx, folder, "go", "mod", "edit", "-json")
	if err != nil {
		return module{}, err
	}

	type named struct {
		Path string `json:"Path"`
	}

	var file struct {
		Module  named   `json:"Module"`
		Require []named `json:"Require"`
		Replace []struct {
			Old named `json:"Old"`
		} `json:"Replace"`
	}

	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return module{}, err
	}

	m := module{folder: folder, path: file.Module.Path}

	for _, require := range file.Require {
		m.requires = append(m.requires, require.Path)
	}

	for _, replace := range file.Replace {
		m.replaces = append(m.replaces, replace.Old.Path)
	}

	return m, nil
}

// setVersion sets the version of all requirements of a module on other modules of this repository.
func (t tree) setVersion(ctx context.Context, m module, version string) error {
	if len(m.requires) == 0 {
		return nil
	}

	args := []string{"go", "mod", "edit"}
	for _, path := range m.requires {
		args = append(args, "-require="+path+"@"+version)
	}

	_, err := t.command(ctx, m.folder, args...)

	return err
}

// standAlone drops the replace directives of a module, and adds the checksums of the modules that they replaced.
func (t tree) standAlone(ctx context.Context, m module, checksums []sums) error {
	for _, path := range m.replaces {
		if _, err := t.command(ctx, m.folder, "go", "mod", "edit", "-dropreplace="+path); err != nil {
			return err
		}
	}

	file := filepath.Join(string(t), filepath.FromSlash(m.folder), "go.sum")

	text, err := os.ReadFile(file) //nolint:gosec // a file of the clone
	if err != nil {
		return err
	}

	return os.WriteFile(file, []byte(addSums(string(text), checksums)), 0o600) //nolint:gosec // a file of the clone
}

// checksums returns the checksums of a tagged version of modules, as the go command computes them from the tags of the tree.
func (t tree) checksums(ctx context.Context, root string, paths []string, version string) (found []sums, err error) {
	cache, err := os.MkdirTemp("", "onlyonce-release-")
	if err != nil {
		return nil, err
	}

	defer func() { _ = os.RemoveAll(cache) }()

	args := []string{"env", "GOMODCACHE=" + cache, "GOFLAGS=-modcacherw"}
	args = append(args, fetchFrom(string(t), root)...)
	args = append(args, "go", "mod", "download", "-json")

	for _, path := range paths {
		args = append(args, path+"@"+version)
	}

	out, err := t.command(ctx, "", args...)
	if err != nil {
		return nil, err
	}

	for decoder := json.NewDecoder(strings.NewReader(out)); decoder.More(); {
		var s sums
		if err := decoder.Decode(&s); err != nil {
			return nil, err
		}

		found = append(found, s)
	}

	return found, nil
}

// fetchFrom is the environment in which the go command takes the modules of this repository from the tags of a local copy.
func fetchFrom(folder, root string) []string {
	return []string{
		"GOPRIVATE=" + root,
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=url." + folder + ".insteadOf",
		"GIT_CONFIG_VALUE_0=https://" + root,
	}
}
