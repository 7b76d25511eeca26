package redisstore_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// gate is where a client's commands wait while it is shut, before they are sent.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while it is open
	sizes  []int         // how many operations have come together
	steps  chan struct{}
	broken error // the error of pipelines while the gate is broken
}

// gated is a store on one server, behind a gate that is open.
func gated(t *testing.T, addr string, opts ...redisstore.Option) (*redisstore.Store, *gate) {
	t.Helper()

	client := redis.NewClient(patient(redis.Options{Addr: addr, ContextTimeoutEnabled: true}))
	g := &gate{opened: make(chan struct{}), steps: make(chan struct{})}
	close(g.opened)
	client.AddHook(g)

	s := with(t, client, append([]redisstore.Option{unindexed}, opts...)...)
	warm(t, s)

	return s, g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.opened, g.sizes = make(chan struct{}), nil
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()

	close(g.opened)
}

// step lets one go that waits.
func (g *gate) step() { g.steps <- struct{}{} }

// await waits until some have come.
func (g *gate) await(t *testing.T, want int) {
	t.Helper()

	eventually(t, "commands come", func() bool { return len(g.come()) >= want })
}

func (g *gate) come() []int {
	g.mu.Lock()
	defer g.mu.Unlock()

	return append([]int(nil), g.sizes...)
}

func (g *gate) pass(ctx context.Context, size int) error {
	g.mu.Lock()
	opened := g.opened
	g.sizes = append(g.sizes, size)
	g.mu.Unlock()

	select {
	case <-opened:
		return nil
	case <-g.steps:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := g.pass(ctx, 1); err != nil {
			cmd.SetErr(err)

			return err
		}

		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if name := cmds[0].Name(); !strings.HasPrefix(name, "eval") && name != "set" {
			return next(ctx, cmds) // a command of the handshake
		}

		if g.broken != nil {
			return g.broken // without an error for each command
		}

		if err := g.pass(ctx, operationsOf(cmds)); err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}

			return err
		}

		return next(ctx, cmds)
	}
}

// operationsOf is how many operations some commands are. A claim and a completion may have a second command, for the expiry.
func operationsOf(cmds []redis.Cmder) (n int) {
	for _, cmd := range cmds {
		if cmd.Name() != "pexpiretime" {
			n++
		}
	}

	return n
}
