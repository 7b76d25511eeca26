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

// defaultWidth is the line width if the output is not a terminal.
const defaultWidth = 80

// app is the state that all commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(name string) string
	// asks reports that a person can answer questions: stdin and stderr are terminals.
	asks bool
	// live reports that stderr is a terminal, so a progress bar can be redrawn.
	live bool
	// color reports that the output may have colours.
	color bool
	// width is the line width of the output, in characters.
	width int

	json  bool
	store storeFlags
	// at is the location of the last opened store, without a password.
	at string
	// secrets are texts to hide in the output.
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
