//go:build unix

package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages are a Debian package and its dependencies.
type packages struct {
	// name is the name of the cache folder.
	name string
	// suites are the suites for apt-get. The first suite contains the package.
	suites []string
	// pkg is the package name.
	pkg string
}

// keyring verifies all releases of Debian.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// program returns a program of the package.
func (p packages) program(path string) (Program, error) {
	root, err := Cached(p.name, p.unpack)
	if err != nil {
		return Program{}, err
	}

	return in(root, path)
}

// unpack downloads the packages and unpacks them into a folder.
func (p packages) unpack(dir string) (err error) {
	mirror, err := mirror()
	if err != nil {
		return err
	}

	apt, err := newApt(filepath.Join(dir, "apt"), mirror, p.suites)
	if err != nil {
		return err
	}

	defer func() { err = errors.Join(err, os.RemoveAll(apt.dir)) }()

	if err := apt.run("update"); err != nil {
		return err
	}

	if err := apt.run("--download-only", "--target-release", p.suites[0], "--no-install-recommends", "--yes", "install", p.pkg); err != nil {
		return err
	}

	files, err := filepath.Glob(apt.path("cache/archives/*.deb"))
	if err != nil {
		return err
	}

	for _, file := range files {
		if err := run(exec.Command("dpkg-deb", "--extract", file, dir)); err != nil {
			return err
		}
	}

	return nil
}

// apt runs apt-get as if no package was installed. It has its state in a separate folder, and uses the configuration of
// the system, such as a proxy.
type apt struct{ dir string }

func newApt(dir, mirror string, suites []string) (apt, error) {
	var sources strings.Builder
	for _, suite := range suites {
		fmt.Fprintf(&sources, "deb [signed-by=%s] %s %s main\n", keyring, mirror, suite)
	}

	a := apt{dir}

	return a, errors.Join(
		os.MkdirAll(a.path("lists/partial"), 0o755),
		os.MkdirAll(a.path("cache/archives/partial"), 0o755),
		os.WriteFile(a.path("sources.list"), []byte(sources.String()), 0o644),
		os.WriteFile(a.path("status"), nil, 0o644),
	)
}

func (a apt) path(name string) string { return a.dir + "/" + name }

func (a apt) run(args ...string) error {
	all := append([]string{
		"--quiet", "--quiet",
		"-o", "Dir::Etc::sourcelist=" + a.path("sources.list"),
		"-o", "Dir::Etc::sourceparts=/nonexistent",
		"-o", "Dir::Etc::preferences=/nonexistent",
		"-o", "Dir::Etc::preferencesparts=/nonexistent",
		"-o", "Dir::State=" + a.dir,
		"-o", "Dir::State::Lists=" + a.path("lists"),
		"-o", "Dir::State::status=" + a.path("status"),
		"-o", "Dir::Cache=" + a.path("cache"),
		"-o", "Dir::Log=" + a.dir,
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"-o", "APT::Sandbox::User=", // the sandbox user could not write into the folder
	}, args...)

	return run(exec.Command("apt-get", all...))
}

// mirror returns the package mirror of this system.
func mirror() (string, error) {
	cmd := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Identifier: Packages")

	targets, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking apt-get, which only Debian has, for the mirror of this system: %w", err)
	}

	codename, err := codename()
	if err != nil {
		return "", err
	}

	return mirrorIn(string(targets), codename)
}

// mirrorIn finds the mirror of a release in lines of mirrors and releases.
func mirrorIn(targets, codename string) (string, error) {
	for line := range strings.Lines(targets) {
		if mirror, release, _ := strings.Cut(strings.TrimSpace(line), " "); release == codename {
			return mirror, nil
		}
	}

	return "", fmt.Errorf("the sources of apt-get name no mirror of %s", codename)
}

// codename returns the Debian release of this system.
func codename() (string, error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}

	return codenameIn(string(text))
}

func codenameIn(release string) (string, error) {
	fields := make(map[string]string)

	for line := range strings.Lines(release) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		fields[name] = strings.Trim(value, `"`)
	}

	if codename := fields["VERSION_CODENAME"]; fields["ID"] == "debian" && codename != "" {
		return codename, nil
	}

	return "", fmt.Errorf("servers can be unpacked on Debian only, and this is %q", fields["ID"])
}

// run runs a command. An error includes its output.
func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}

	return nil
}
