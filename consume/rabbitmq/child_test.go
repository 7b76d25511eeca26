//go:build unix

package oncerabbit_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// What the environment tells a child.
const (
	childMode    = "ONLYONCE_RABBIT_CHILD"
	childURL     = "ONLYONCE_RABBIT_URL"
	childQueue   = "ONLYONCE_RABBIT_QUEUE"
	childRedis   = "ONLYONCE_RABBIT_REDIS"
	childEffects = "ONLYONCE_RABBIT_EFFECTS"
)

// Where a child stops.
const (
	beforeAck = "before ack" // the message is handled, and nobody knows
	inHandler = "in handler" // the effect has happened, and the outcome is not recorded
	exits     = "exits"      // as inHandler, and the process ends
)

const (
	childAttempts = 2
	childLease    = 2 * time.Second // a child that is dead does not renew it, however long it is
)

// world is what outlives a child.
type world struct {
	url, queue string
	redis      string
	effects    string // a file with a line for each
}

func newWorld(t *testing.T, b *broker) *world {
	t.Helper()

	return &world{b.url, b.queue, redistest.Standalone(t).URL(), filepath.Join(t.TempDir(), "effects")}
}

func (w *world) happened() int {
	text, err := os.ReadFile(w.effects)
	if err != nil {
		return 0
	}

	return strings.Count(string(text), "\n")
}

func (w *world) act(id string) error {
	file, err := os.OpenFile(w.effects, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()

	_, err = fmt.Fprintln(file, id)

	return err
}

// engine makes an engine on the shared store.
func (w *world) engine(p onlyonce.Policy) (e *onlyonce.Engine, closeStore func(), err error) {
	st, err := redisstore.Open(w.redis, redisstore.WithTimeout(servertest.Patience))
	if err != nil {
		return nil, nil, err
	}

	p.Lease, p.MaxWait = childLease, 10*time.Millisecond
	e, err = onlyonce.New(st, onlyonce.WithPolicy(p), onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: servertest.Patience}),
		onlyonce.WithObserver(onlyonce.ObserverFunc(func(context.Context, onlyonce.Event) {})))

	return e, func() { _ = st.Close() }, err
}

// policy is that of a mode.
func policy(mode string) onlyonce.Policy {
	if mode == exits {
		return onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxAttempts: childAttempts}
	}

	return onlyonce.Policy{Guarantee: onlyonce.AtMostOnce, MaxAttempts: 1}
}

// childMain is a consumer that stops at a place until it is killed.
func childMain(mode string) int {
	w := &world{os.Getenv(childURL), os.Getenv(childQueue), os.Getenv(childRedis), os.Getenv(childEffects)}

	stopHere := func(place string) {
		if mode == place {
			fmt.Println("stopped") //nolint:forbidigo // the test waits for it
			select {}
		}
	}

	e, _, err := w.engine(policy(mode))
	if err != nil {
		return childFailed(err)
	}

	h, err := consume.Handler(e, "test", consume.ByID, func(_ context.Context, m *consume.Message) error {
		if err := w.act(m.ID); err != nil {
			return err
		}

		stopHere(inHandler)

		if mode == exits {
			os.Exit(0)
		}

		return nil
	}, consume.WithBackoff(soon))
	if err != nil {
		return childFailed(err)
	}

	c, err := oncerabbit.New(w.queue, func(ctx context.Context, m *consume.Message) consume.Decision {
		decision := h(ctx, m)
		stopHere(beforeAck)

		return decision
	}, oncerabbit.ByReject())
	if err != nil {
		return childFailed(err)
	}

	return childFailed(c.Run(context.Background(), func(context.Context) (*amqp.Connection, error) { return amqp.Dial(w.url) }))
}

func childFailed(err error) int {
	fmt.Fprintln(os.Stderr, err)

	return 1
}

// child starts a child. It ends with the test.
func (w *world) child(t *testing.T, mode string) (child *servertest.Child, out *bufio.Reader) {
	t.Helper()

	r, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { r.Close() })

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode, childURL+"="+w.url, childQueue+"="+w.queue, childRedis+"="+w.redis,
		childEffects+"="+w.effects)
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr

	child, err = servertest.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}

	stdout.Close()
	t.Cleanup(child.Kill)

	return child, bufio.NewReader(r)
}

// killed runs a child until it stops at its place, and kills it there.
func (w *world) killed(t *testing.T, mode string) {
	t.Helper()

	child, out := w.child(t, mode)
	if line, err := out.ReadString('\n'); err != nil {
		t.Fatalf("the child says %q: %v", line, err)
	}

	child.Kill()
}
