package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1) //nolint:gocritic // stop only restores the handling of signals
	}
}

// run runs a command: the demo, or one of its processes.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("usage: consumer demo [-messages 1000]")
	}

	part, ok := map[string]func(context.Context, *task) error{"broker": serveBroker, "produce": produce, "consume": consumeOrders}[args[0]]

	switch {
	case ok:
		t, err := readTask(os.Stdin)
		if err != nil {
			return err
		}

		return part(ctx, t)
	case args[0] == "demo":
		flags := flag.NewFlagSet("demo", flag.ContinueOnError)
		messages := flags.Int("messages", 1000, "how many messages are sent")

		if err := flags.Parse(args[1:]); err != nil {
			return err
		}

		if *messages < 1 || flags.NArg() > 0 {
			return errors.New("usage: consumer demo [-messages 1000]: give at least one message")
		}

		return demo(ctx, out, *messages)
	default:
		return fmt.Errorf("there is no command %q: use demo", args[0])
	}
}

// task configures a process.
type task struct {
	// Kit is false in programs without the kit.
	Kit bool `json:"kit"`
	// URL is the broker's. It is empty for the broker itself.
	URL string `json:"url"`
	// Folder contains the databases. Port is the broker's port.
	Folder string `json:"folder"`
	Port   int    `json:"port"`
	// Messages is the number of orders to place.
	Messages int `json:"messages"`
	// HaltAt is the place where the process waits to be killed, on the HaltAfter-th visit.
	HaltAt    string `json:"haltAt"`
	HaltAfter int64  `json:"haltAfter"`

	arrivals atomic.Int64
}

// readTask reads the task of a process. The process ends when its standard input does, so it does not outlive the demo.
func readTask(in io.Reader) (*task, error) {
	lines := bufio.NewReader(in)

	line, err := lines.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("reading the task: %w", err)
	}

	t := new(task)
	if err := json.Unmarshal(line, t); err != nil {
		return nil, fmt.Errorf("reading the task: %w", err)
	}

	go func() {
		_, _ = io.Copy(io.Discard, lines)

		os.Exit(1)
	}()

	return t, nil
}

// The places where a process may be killed.
const (
	inTransaction = "in the transaction"   // of the handler
	afterWriting  = "after writing"        // the row
	afterSending  = "after sending"        // the message
	beforeAck     = "before acknowledging" // the message
)

// at waits to be killed, if this is the place.
func (t *task) at(place string) {
	if t.HaltAt == place && t.arrivals.Add(1) == t.HaltAfter {
		say(halted)

		select {}
	}
}

// Lines that a process prints.
const (
	halted = "halted"
	done   = "done"
)

func say(line string) { fmt.Println(line) }
