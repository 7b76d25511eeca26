package redisstore

import (
	"context"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/report"
)

// wire sends commands with the client of a store.
type wire struct {
	client Client
	report report.To
	// patient means that the client may take longer than the context of a command allows.
	patient bool
}

func newWire(client Client) *wire { return &wire{client: client, patient: !heedsContexts(client)} }

// respent is how often commands are sent again that found only spent connections, after the client has given up. Connections are spent at
// most once a second, so the next one is good unless the machine stands still.
const respent = 3

// send sends commands together and waits. Afterwards every command has its answer or an error.
func (w *wire) send(ctx context.Context, cmds []redis.Cmder) {
	w.try(ctx, cmds)

	for range respent {
		if !slices.ContainsFunc(cmds, unsent) {
			return
		}

		cmds = slices.DeleteFunc(slices.Clone(cmds), func(cmd redis.Cmder) bool { return !unsent(cmd) })
		w.try(ctx, cmds)
	}
}

// unsent reports whether the last attempt of a command ended on a spent connection.
func unsent(cmd redis.Cmder) bool {
	err := cmd.Err()

	return err != nil && errors.Is(err, errSpent)
}

// try sends commands with the client.
func (w *wire) try(ctx context.Context, cmds []redis.Cmder) {
	if len(cmds) == 1 {
		_ = w.client.Process(ctx, cmds[0])
		_ = cmds[0].Err() // waits for clients that send later

		return
	}

	pipe := w.client.Pipeline()
	_ = pipe.BatchProcess(ctx, cmds...)

	// The error comes from the first failed command. If no command failed, it comes from a hook of the program.
	_, err := pipe.Exec(ctx)
	if err == nil || slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil }) {
		return
	}

	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
}

// heedsContexts reports whether a client returns at the deadline of a command's context. Such a client is called on the goroutine of the
// operation.
func heedsContexts(client Client) bool {
	switch c := client.(type) {
	case *redis.Client:
		o := c.Options()

		return o.ContextTimeoutEnabled && o.ReadTimeout >= 0 && o.WriteTimeout >= 0
	case *redis.ClusterClient:
		o := c.Options()

		return o.ContextTimeoutEnabled && o.ReadTimeout >= 0 && o.WriteTimeout >= 0
	default:
		return false
	}
}

// process sends one command and waits for its answer until ctx ends. After an error of ctx the command must not be read.
func process(ctx context.Context, client Client, cmd redis.Cmder) error {
	w := newWire(client)

	return w.await(ctx, func() error {
		w.send(ctx, []redis.Cmder{cmd})

		return cmd.Err() //nolint:wrapcheck // wrapped by the caller
	})
}

// processTogether sends commands together and waits for their answers until ctx ends. After an error the commands must not be read.
func processTogether(ctx context.Context, client Client, cmds ...redis.Cmder) error {
	w := newWire(client)

	return w.await(ctx, func() error {
		w.send(ctx, cmds)

		return nil
	})
}

// await calls the client and waits until ctx ends.
func (w *wire) await(ctx context.Context, call func() error) error {
	if !w.patient {
		return call()
	}

	done := make(chan error, 1)

	go func() { done <- call() }()

	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // wrapped by the caller
	}
}
