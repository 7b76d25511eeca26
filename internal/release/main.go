// Command release makes the commits and tags of a version of all modules of this repository, and pushes nothing.
//
//	go run ./internal/release v0.1.0
//
// All modules have the same version. The command works in a temporary clone, so that a release that fails leaves nothing behind:
//
//  1. It checks the repository: on main, clean, with a section for the version in CHANGELOG.md and current lists in api/.
//  2. One commit sets the version in every go.mod that requires a module of this repository.
//  3. It tags this commit once for each published module, required modules first.
//  4. A program gets a commit of its own beside main, because go install refuses a go.mod with replace directives. This
//     commit drops the directives and adds the checksums of the tagged modules to go.sum.
//  5. It fetches the commits and the tags into the repository.
//
// A module is published unless its folder, or a parent of its folder, is for development, such as internal or examples. A module that a
// published module requires is published too.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, ".", os.Args[1:])

	stop()

	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, root string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments; give the version alone, such as v0.1.0", len(args))
	}

	tags, err := release(ctx, root, args[0])
	if err != nil {
		return err
	}

	fmt.Fprintf(out, `main has the commit of %[1]s, and these tags exist:
  %[2]s
Look at them, run make check, and publish all of them at once:
  git push --atomic origin main %[3]s
To take them back before that:
  %[4]s
`, args[0], strings.Join(tags, "\n  "), strings.Join(tags, " "), undoing(args[0], tags))

	return nil
}

// undoing is the command that takes a version back. It keeps later commits.
func undoing(version string, tags []string) string {
	return fmt.Sprintf("git rebase --onto %[1]s~1 %[1]s main && git tag --delete %[2]s", version, strings.Join(tags, " "))
}
