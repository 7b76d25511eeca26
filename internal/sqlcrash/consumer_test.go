//go:build unix

package sqlcrash

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// consumerEnv makes the test binary a consumer of NATS JetStream. Its value is the consumerConfig.
const consumerEnv = "ONLYONCE_SQLCRASH_CONSUMER"

// The steps of a consumer at which it can be parked, besides atWritten.
const (
	atCommitted point = "committed" // in the handler of a joined transaction, which is committed
	atAck       point = "ack"       // decided, and about to acknowledge
)

// consumerConfig configures a consumer.
type consumerConfig struct {
	URL, Driver, DSN string
	Mode             onlyonce.TransactionMode
	ParkAt           point
}

// consumer charges messages: one row for each run, in the transaction of the record.
type consumer struct {
	consumerConfig

	db   *sql.DB
	runs atomic.Int64
}

// reach parks the consumer for ever, if this is the place.
func (c *consumer) reach(at point) {
	if c.ParkAt == at {
		say("parked")

		select {}
	}
}

func (c *consumer) charge(ctx context.Context, m *consume.Message) error {
	c.runs.Add(1)

	write := func(ctx context.Context, tx sqlstore.Execer) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO charges (id) VALUES ($1)", m.ID)
		if err == nil {
			c.reach(atWritten)
		}

		return err
	}

	if c.Mode == onlyonce.SingleTransaction {
		return write(ctx, sqlstore.Tx(ctx))
	}

	_, err := sqlstore.InTx(ctx, c.db, nil, func(ctx context.Context, tx *sql.Tx) (any, error) { return nil, write(ctx, tx) })
	if err == nil {
		c.reach(atCommitted)
	}

	return err
}

// run consumes until ctx ends. A nil handle is charge.
func (c *consumer) run(ctx context.Context, policy onlyonce.Policy, handle func(context.Context, *consume.Message) error) error {
	records, err := sqlstore.New(c.db, sqlstore.PostgreSQL, sqlstore.WithTimeout(patience)) //nolint:contextcheck // it has its own
	if err != nil {
		return err
	}

	policy.Guarantee, policy.TransactionMode = onlyonce.ExactlyOnce, c.Mode

	engine, err := onlyonce.New(records, onlyonce.WithPolicy(policy),
		onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: patience, SettleTimeout: patience}))
	if err != nil {
		return err
	}

	if handle == nil {
		handle = c.charge
	}

	deliver, err := consume.Handler(engine, "billing", consume.ByID, handle,
		consume.WithBackoff(func(int) time.Duration { return 10 * time.Millisecond }))
	if err != nil {
		return err
	}

	conn, js, err := connect(c.URL)
	if err != nil {
		return err
	}
	defer conn.Close()

	pull, err := js.Consumer(ctx, "orders", "billing")
	if err != nil {
		return err
	}

	consuming, err := oncenats.New(ctx, js, pull, deliver, "dead.orders",
		oncenats.WithObserver(func(*consume.Message, consume.Decision) { c.reach(atAck) }))
	if err != nil {
		return err
	}

	return consuming.Run(ctx)
}

// connect returns a connection that waits for a machine that stands still.
func connect(url string) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect(url, nats.Timeout(patience), nats.MaxReconnects(-1))
	if err != nil {
		return nil, nil, err
	}

	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(patience))

	return conn, js, err
}

// consumerMain is the life of a consumer's process, and its exit code.
func consumerMain(encoded string) int {
	c := new(consumer)

	err := json.Unmarshal([]byte(encoded), &c.consumerConfig) //nolint:musttag // both sides are this program
	if err == nil {
		c.db, err = sql.Open(c.Driver, c.DSN)
	}

	if err == nil {
		go func() { // it ends with its parent
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(1)
		}()

		err = c.run(context.Background(), onlyonce.Policy{Lease: shortLease}, nil)
	}

	_, _ = fmt.Fprintln(os.Stderr, "a consumer:", err)

	return 1
}

// queue is a broker in this process with a message, and a PostgreSQL database for its consumers.
type queue struct {
	config consumerConfig
	db     *sql.DB
	js     jetstream.JetStream
}

func newQueue(t *testing.T, mode onlyonce.TransactionMode) *queue {
	t.Helper()

	database := sqltest.PostgresDatabase(t)
	q := &queue{db: database.DB(t)}

	if err := sqlstore.Migrate(t.Context(), q.db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}

	if _, err := q.db.ExecContext(t.Context(), "CREATE TABLE charges (id TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}

	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}

	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})

	if !s.ReadyForConnections(patience) {
		t.Fatal("the broker does not start")
	}

	conn, js, err := connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(conn.Close)

	q.js = js

	for _, name := range []string{"orders", "dead"} {
		config := jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}}
		if name == "orders" {
			config.Retention = jetstream.WorkQueuePolicy
		}

		if _, err := q.js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := q.js.CreateConsumer(t.Context(), "orders", jetstream.ConsumerConfig{
		Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second, MaxDeliver: -1,
	}); err != nil {
		t.Fatal(err)
	}

	if _, err := q.js.Publish(t.Context(), "orders.placed", nil, jetstream.WithMsgID("a")); err != nil {
		t.Fatal(err)
	}

	q.config = consumerConfig{URL: s.ClientURL(), Driver: database.Driver(), DSN: database.DSN(), Mode: mode}

	return q
}

// kill lets a consumer in a process of its own come to a step, and kills it there with SIGKILL.
func (q *queue) kill(t *testing.T, at point) {
	t.Helper()

	config := q.config
	config.ParkAt = at

	encoded, err := json.Marshal(config) //nolint:musttag // both sides are this program
	if err != nil {
		t.Fatal(err)
	}

	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), consumerEnv+"="+string(encoded))
	cmd.Stderr = os.Stderr

	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()

	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	line, err := bufio.NewReader(stdout).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	if err != nil || strings.TrimSpace(line) != "parked" {
		t.Fatalf("the consumer does not come to %s: %q, %v", at, line, err)
	}
}

// consume runs a consumer in this process until the message is settled. It returns the number of runs of its handler.
func (q *queue) consume(t *testing.T, policy onlyonce.Policy, handle func(context.Context, *consume.Message) error) int64 {
	t.Helper()

	c := &consumer{consumerConfig: q.config, db: q.db}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)

	go func() { ended <- c.run(ctx, policy, handle) }()

	servertest.Wait(t, "settling the message", func() error {
		if n := q.stored(t, "orders"); n > 0 {
			return errors.New("it is there")
		}

		return nil
	})
	cancel()

	if err := <-ended; err != nil {
		t.Error(err)
	}

	return c.runs.Load()
}

func (q *queue) stored(t *testing.T, name string) uint64 {
	t.Helper()

	stream, err := q.js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}

	return stream.CachedInfo().State.Msgs
}

func (q *queue) charges(t *testing.T) (n int) {
	t.Helper()

	if err := q.db.QueryRowContext(t.Context(), "SELECT count(*) FROM charges").Scan(&n); err != nil {
		t.Fatal(err)
	}

	return n
}
