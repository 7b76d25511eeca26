//go:build unix

// Command testedon lists the servers on which the stores are tested. It writes docs/tested.md.
//
//	go run ./internal/testedon > docs/tested.md
//	testedon releases test-servers                   the value of ONLYONCE_TEST_SERVERS for a target of make
//	testedon fetch test-servers                      downloads these servers
//	testedon commands test-servers go test -race     prints the commands that test them, one per line
//
// The argument may name releases instead of the target test-servers: valkey-9,mysql-9.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testedon:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, args []string) error {
	if len(args) == 0 {
		_, err := io.WriteString(w, page())

		return err
	}

	if len(args) < 2 {
		return fmt.Errorf("%s of what? Name test, test-servers, or releases", args[0])
	}

	releases, suites := servers.Releases(args[1])
	if len(releases) == 0 {
		return fmt.Errorf("%q is neither test nor test-servers, and not all of it are releases: see internal/servers/matrix.go", args[1])
	}

	chosen := strings.Join(releases, ",")

	switch args[0] {
	case "releases":
		_, err := fmt.Fprintln(w, chosen)

		return err
	case "fetch":
		return fetch(w, releases)
	case "commands":
		for _, suite := range suites {
			if _, err := fmt.Fprintln(w, command(suite, chosen, args[2:])); err != nil {
				return err
			}
		}

		return nil
	}

	return fmt.Errorf("no command %q: use releases, fetch or commands", args[0])
}

// command returns the shell command that runs a suite on the chosen releases.
func command(suite servers.Suite, chosen string, test []string) string {
	words := append([]string{"cd", suite.Dir + ";", servers.Variable + "=" + chosen}, test...)
	if suite.Run != "" {
		words = append(words, "-run", "'"+suite.Run+"'")
	}

	return strings.Join(append(words, "./"+suite.Package), " ")
}

// fetch downloads missing servers and prints their versions.
func fetch(w io.Writer, releases []string) error {
	for _, release := range releases {
		program, err := servers.Find(release)
		if err != nil {
			return err
		}

		version, err := program.Command("--version").Output()
		if err != nil {
			return fmt.Errorf("running %s: %w", program.Path(), err)
		}

		if _, err := fmt.Fprintf(w, "%s: %s\n", release, strings.TrimSpace(string(version))); err != nil {
			return err
		}
	}

	return nil
}
