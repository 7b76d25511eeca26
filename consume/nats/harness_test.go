package oncenats_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// broker is a NATS server with JetStream in the process of the test.
type broker struct {
	t      *testing.T
	dir    string
	port   int
	server *server.Server
}

func startBroker(t *testing.T) *broker {
	t.Helper()

	b := &broker{t: t, dir: t.TempDir(), port: server.RANDOM_PORT}
	b.start()
	t.Cleanup(b.stop)

	return b
}

func (b *broker) start() {
	b.t.Helper()

	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: b.port, JetStream: true, StoreDir: b.dir, NoLog: true, NoSigs: true, SyncAlways: true,
	})
	if err != nil {
		b.t.Fatal(err)
	}

	s.Start()

	if !s.ReadyForConnections(time.Minute) {
		b.t.Fatal("the NATS server does not start")
	}

	b.server = s

	if address, ok := s.Addr().(*net.TCPAddr); ok {
		b.port = address.Port // after a restart, too
	}
}

func (b *broker) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// connect returns a connection that waits for a server that is away.
func connect(url string) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.RetryOnFailedConnect(true),
		nats.Timeout(time.Minute))
	if err != nil {
		return nil, nil, err
	}

	// A machine may stand still for seconds.
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(30*time.Second))

	return conn, js, err
}

// world is a broker with two streams, one for orders and one for dead letters, and a database.
type world struct {
	t    *testing.T
	b    *broker
	js   jetstream.JetStream
	path string // of the database
	db   *sql.DB
}

func newWorld(t *testing.T) *world {
	t.Helper()

	w := &world{t: t, b: startBroker(t), path: filepath.Join(t.TempDir(), "orders.db")}

	conn, js, err := connect(w.b.server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(conn.Close)

	w.js = js

	for name, retention := range map[string]jetstream.RetentionPolicy{"orders": jetstream.InterestPolicy, "dead": jetstream.LimitsPolicy} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: name, Subjects: []string{name + ".>"}, Retention: retention,
		}); err != nil {
			t.Fatal(err)
		}
	}

	if w.db, err = openDatabase(t.Context(), w.path); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { w.db.Close() })

	return w
}

func openDatabase(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite",
		"file:"+path+"?_pragma=busy_timeout(5)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}

	for {
		err := errors.Join(sqlstore.Migrate(ctx, db, sqlstore.SQLite), exec1(ctx, db, "CREATE TABLE IF NOT EXISTS charges (id TEXT)"))
		if err == nil || !strings.Contains(err.Error(), "locked") {
			return db, err
		}
	}
}

func exec1(ctx context.Context, db *sql.DB, statement string) error {
	_, err := db.ExecContext(ctx, statement)

	return err
}

// pull makes a pull consumer.
func (w *world) pull(name string, ackWait time.Duration) jetstream.Consumer {
	w.t.Helper()

	c, err := w.js.CreateOrUpdateConsumer(w.t.Context(), "orders", jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1,
	})
	if err != nil {
		w.t.Fatal(err)
	}

	return c
}

// publish publishes messages with the ids 1 to n, twice each.
func (w *world) publish(n int) {
	w.t.Helper()

	for i := range n {
		for range 2 {
			id := strconv.Itoa(i + 1)
			if _, err := w.js.Publish(w.t.Context(), "orders."+id, []byte("order "+id), jetstream.WithMsgID(id)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// settings are a consumer of a test, in this process or in a child.
type settings struct {
	URL       string             `json:"url"`
	Path      string             `json:"path"`
	Name      string             `json:"name"`
	Guarantee onlyonce.Guarantee `json:"guarantee"`
	Hook      string             `json:"hook"` // where the child waits to be killed
	Workers   int                `json:"workers"`
}

// start starts a consumer, which ends with the test or with the function that it returns.
func (w *world) start(s settings, handle func(context.Context, *consume.Message) error, opts ...consume.Option) (stop func()) {
	w.t.Helper()

	s.URL, s.Path = w.b.server.ClientURL(), w.path
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)

	c, conn, err := newConsumer(ctx, s, w.db, handle, opts...)
	if err != nil {
		w.t.Fatal(err)
	}

	go func() { ended <- c.Run(ctx) }()

	stop = func() {
		cancel()

		if err := <-ended; err != nil {
			w.t.Error(err)
		}

		conn.Close()

		ended <- nil
	}

	w.t.Cleanup(stop)

	return stop
}

// newConsumer makes a consumer of its own connection.
func newConsumer(
	ctx context.Context, s settings, db *sql.DB, handle func(context.Context, *consume.Message) error, opts ...consume.Option,
) (*oncenats.Consumer, *nats.Conn, error) {
	conn, js, err := connect(s.URL)
	if err != nil {
		return nil, nil, err
	}

	records, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithTimeout(servertest.Patience)) //nolint:contextcheck // it has its own
	if err != nil {
		return nil, nil, err
	}

	engine, err := onlyonce.New(store.Store(records), onlyonce.WithPolicy(onlyonce.Policy{
		Guarantee: s.Guarantee, Lease: time.Second, MaxAttempts: 1000,
	}), onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: servertest.Patience}))
	if err != nil {
		return nil, nil, err
	}

	if handle == nil {
		handle = func(ctx context.Context, m *consume.Message) error {
			halt(s, "before the effect")

			if err := charge(ctx, db, s, m); err != nil {
				return err
			}

			halt(s, "after the effect")

			return nil
		}
	}

	deliver, err := consume.Handler(engine, "billing", consume.ByID, handle,
		append([]consume.Option{consume.WithBackoff(func(int) time.Duration { return 10 * time.Millisecond })}, opts...)...)
	if err != nil {
		return nil, nil, err
	}

	pull, err := js.Consumer(ctx, "orders", s.Name)
	if err != nil {
		return nil, nil, err
	}

	c, err := oncenats.New(ctx, js, pull, deliver, "dead.orders", oncenats.WithWorkers(max(s.Workers, 1)),
		oncenats.WithRetry(50*time.Millisecond),
		oncenats.WithObserver(func(*consume.Message, consume.Decision) { halt(s, "before the acknowledgement") }))

	return c, conn, err
}

// charge is the effect: a row, in the transaction of the record where there is one.
func charge(ctx context.Context, db *sql.DB, s settings, m *consume.Message) error {
	const insert = "INSERT INTO charges (id) VALUES ($1)"

	if s.Guarantee == onlyonce.ExactlyOnce {
		_, err := sqlstore.Tx(ctx).ExecContext(ctx, insert, m.ID)

		return err
	}

	for {
		_, err := db.ExecContext(ctx, insert, m.ID)
		if err == nil || !strings.Contains(err.Error(), "locked") {
			return err
		}
	}
}

// halt waits to be killed, if this is the place for it.
func halt(s settings, place string) {
	if s.Hook == place {
		fmt.Println("halted") //nolint:forbidigo // it is for the parent

		select {}
	}
}

func runChild(config string) error {
	var s settings
	if err := json.Unmarshal([]byte(config), &s); err != nil {
		return err
	}

	go func() { // it ends with its parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()

	ctx := context.Background()

	db, err := openDatabase(ctx, s.Path)
	if err != nil {
		return err
	}

	c, _, err := newConsumer(ctx, s, db, nil)
	if err != nil {
		return err
	}

	return c.Run(ctx)
}

// killed starts a consumer in a child, and kills it where it halts.
func (w *world) killed(s settings) {
	w.t.Helper()

	s.URL, s.Path = w.b.server.ClientURL(), w.path

	config, err := json.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}

	binary, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}

	cmd := exec.CommandContext(w.t.Context(), binary)
	cmd.Env = append(os.Environ(), childVariable+"="+string(config))
	cmd.Stderr = os.Stderr

	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	defer in.Close()

	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}

	if line, err := bufio.NewReader(out).ReadString('\n'); line != "halted\n" {
		w.t.Errorf("the child says %q: %v", line, err)
	}

	_ = cmd.Process.Kill() // SIGKILL
	_ = cmd.Wait()
}

// settled waits until the streams of orders is empty: each message was acknowledged or terminated.
func (w *world) settled() {
	w.t.Helper()

	w.until("the stream of orders is empty", func() bool {
		stream, err := w.js.Stream(w.t.Context(), "orders")

		return err == nil && stream.CachedInfo().State.Msgs == 0
	})
}

// until waits for something that comes to be.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()

	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("it does not come to be that %s", what)
		}
	}
}

// charged checks that each of the messages 1 to n had its effect once.
func (w *world) charged(n int) {
	w.t.Helper()

	var rows, ids int
	if err := w.db.QueryRowContext(w.t.Context(), "SELECT count(*), count(DISTINCT id) FROM charges").Scan(&rows, &ids); err != nil {
		w.t.Fatal(err)
	}

	if rows != n || ids != n {
		w.t.Errorf("there are %d effects of %d messages, want %d of %d", rows, ids, n, n)
	}
}

// deadLetters returns all dead letters.
func (w *world) deadLetters() (letters []jetstream.Msg) {
	w.t.Helper()

	stream, err := w.js.Stream(w.t.Context(), "dead")
	if err != nil {
		w.t.Fatal(err)
	}

	c, err := stream.OrderedConsumer(w.t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		w.t.Fatal(err)
	}

	for range stream.CachedInfo().State.Msgs {
		msg, err := c.Next()
		if err != nil {
			w.t.Fatal(err)
		}

		letters = append(letters, msg)
	}

	return letters
}
