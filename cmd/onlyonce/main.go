package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"golang.org/x/term"
)

func main() {
	redis.SetLogger(quiet{})

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, newApp(), os.Args[1:])

	stop()
	os.Exit(status)
}

// defaultWidth is the width of lines if the output is no terminal.
const defaultWidth = 80

// app is what commands have in common.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(name string) string
	// asks means that somebody can answer questions: input and errors are a terminal.
	asks bool
	// live means that errors are a terminal, so that a progress bar may overwrite itself.
	live bool
	// color means that the output may have colours.
	color bool
	// width is how many characters fit into a line of the output.
	width int

	json  bool
	store storeFlags
	// at is where the store is that was opened last, without a password.
	at string
	// secrets are texts that are never printed.
	secrets []string
}

func newApp() *app {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, width: defaultWidth,
		live: term.IsTerminal(int(os.Stderr.Fd())),
	}
	a.asks = a.live && term.IsTerminal(int(os.Stdin.Fd()))

	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > 0 {
		a.width = width
		a.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}

	return a
}
