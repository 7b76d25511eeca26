// Command conformance runs connect's conformance suite against its own server and client, without and with the interceptors of package
// onceconnect. It fails if a case fails only with them.
//
// Its arguments are the sides to test, server or client. Without arguments it tests both.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	sides := os.Args[1:]
	if len(sides) == 0 {
		sides = []string{"server", "client"}
	}

	if err := run(ctx, os.Stdout, sides); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// variant is one way to run the suite.
type variant struct {
	name   string
	target string // the folder of the server or client under test
}

func run(ctx context.Context, out io.Writer, sides []string) error {
	folder, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}

	defer os.RemoveAll(folder) //nolint:errcheck // a temporary folder

	suite, err := build(ctx, folder)
	if err != nil {
		return err
	}

	variants := []variant{
		{name: "without", target: "plain"},
		{name: "with", target: "patched"},
	}

	var differ []string

	for _, mode := range sides {
		want := ""

		for _, v := range variants {
			got, err := v.run(ctx, suite, folder, mode)
			if err != nil {
				return fmt.Errorf("the suite's %s, %s interceptors: %w", mode, v.name, err)
			}

			fmt.Fprintf(out, "result mode=%s interceptors=%s %s\n", mode, v.name, totals.FindString(got))

			if want == "" {
				want = got
			}

			// A case that depends on time may fail on a busy machine without interceptors, too.
			for _, failure := range strings.Split(got, "\n")[1:] {
				if !strings.Contains(want, failure) {
					differ = append(differ, mode+" "+v.name+": "+failure)
				}
			}
		}
	}

	if len(differ) > 0 {
		return fmt.Errorf("cases that fail only with the interceptors:\n%s", strings.Join(differ, "\n"))
	}

	return nil
}

// build builds the programs of the suite as they are and with the interceptors. It returns the folder of the suite.
func build(ctx context.Context, folder string) (string, error) {
	found, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "connectrpc.com/conformance").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the suite: %w", err)
	}

	suite, source := strings.TrimSpace(string(found)), filepath.Join(folder, "source")
	if err := patch(suite, source); err != nil {
		return "", err
	}

	modfile, err := modfileFor(folder, source)
	if err != nil {
		return "", err
	}

	for name, flags := range map[string][]string{"plain": nil, "patched": {"-modfile", modfile}} {
		bin := filepath.Join(folder, name)
		if err := os.Mkdir(bin, 0o700); err != nil {
			return "", err
		}

		args := append([]string{"build", "-o", bin + "/"}, flags...)
		for _, program := range []string{"connectconformance", "referenceclient", "referenceserver"} {
			args = append(args, "connectrpc.com/conformance/cmd/"+program)
		}

		cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // a fixed command
		cmd.Stderr = os.Stderr

		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("building the suite: %w", err)
		}
	}

	return suite, nil
}

// modfileFor writes this module's go.mod with the patched suite in place of the suite.
func modfileFor(folder, source string) (string, error) {
	modfile := filepath.Join(folder, "go.mod")

	text, err := os.ReadFile("go.mod")
	if err != nil {
		return "", err
	}

	added := "\nreplace connectrpc.com/conformance => " + source + "\n"
	if err := os.WriteFile(modfile, append(text, added...), 0o600); err != nil { //nolint:gosec // the folder is this program's own
		return "", err
	}

	sums, err := os.ReadFile("go.sum")
	if err != nil {
		return "", err
	}

	return modfile, os.WriteFile(filepath.Join(folder, "go.sum"), sums, 0o600) //nolint:gosec // the folder is this program's own
}

// run runs the suite and returns the totals and the names of the cases that failed. Some fail without interceptors, too.
func (v variant) run(ctx context.Context, suite, folder, mode string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, filepath.Join(folder, "plain", "connectconformance"), //nolint:gosec // built above
		"--conf", filepath.Join(suite, "testing", "reference-impls-config.yaml"), "--mode", mode,
		"--", filepath.Join(folder, v.target, "reference"+mode))

	printed, err := cmd.CombinedOutput()

	if total := totals.FindString(string(printed)); total != "" {
		failures := failed.FindAllString(string(printed), -1)
		slices.Sort(failures)

		return strings.Join(append([]string{total}, failures...), "\n"), nil
	}

	return "", fmt.Errorf("%w\n%s", err, last(string(printed), 4000))
}

var (
	totals = regexp.MustCompile(`(?m)^\d+ passed, \d+ failed.*$`)
	failed = regexp.MustCompile(`(?m)^FAILED: .*$`)
)

// last returns the end of a text.
func last(text string, most int) string { return text[max(0, len(text)-most):] }
