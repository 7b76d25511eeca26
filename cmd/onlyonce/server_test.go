//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

const (
	blocksEnv = "ONLYONCE_TEST_BLOCKS"
	leaseEnv  = "ONLYONCE_TEST_LEASE"
	maxRunEnv = "ONLYONCE_TEST_MAX_RUN"
	payMethod = "/grpc.testing.TestService/UnaryCall"
	// testLease is short, so it ends soon after a server is killed.
	testLease = 2 * time.Second
)

// payments is a service whose handler can block for ever.
type payments struct {
	pb.UnimplementedTestServiceServer

	blocks bool
}

func (p *payments) UnaryCall(_ context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	fmt.Fprintln(os.Stdout, "running") // then the test kills the process

	if p.blocks {
		select {}
	}

	return &pb.SimpleResponse{Username: "paid by the handler", OauthScope: strconv.Itoa(int(req.GetResponseSize()))}, nil
}

// serverMain is the main function of a server process.
func serverMain() int {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)

		return 1
	}

	return 0
}

func serve() error {
	a := newApp()
	a.store.timeout = time.Minute

	records, err := a.open()
	if err != nil {
		return err
	}
	defer records.close()

	lease, err := time.ParseDuration(os.Getenv(leaseEnv))
	if err != nil {
		return err
	}

	maxRun, err := time.ParseDuration(os.Getenv(maxRunEnv))
	if err != nil {
		return err
	}

	engine, err := onlyonce.New(records.Store, onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: time.Minute}),
		onlyonce.WithPolicy(onlyonce.Policy{
			Guarantee: onlyonce.AtMostOnce, Lease: lease, MaxRun: maxRun, MaxWait: onlyonce.NoWait, KeepRequest: 1000,
		}))
	if err != nil {
		return err
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return err
	}

	server := grpc.NewServer(protect.ServerOptions()...)
	pb.RegisterTestServiceServer(server, &payments{blocks: os.Getenv(blocksEnv) != ""})
	reflection.Register(server)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	fmt.Fprintln(os.Stdout, listener.Addr())

	return server.Serve(listener)
}

// server is a server process.
type server struct {
	child  *servertest.Child
	addr   string
	output *bufio.Reader
	client pb.TestServiceClient
}

// startServer starts a server on a store.
func startServer(t *testing.T, address string, lease, maxRun time.Duration, blocks bool) *server {
	t.Helper()

	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary)
	cmd.Stdout, cmd.Stderr = write, os.Stderr
	cmd.Env = append(os.Environ(), roleEnv+"="+roleServer, "ONLYONCE_STORE="+address,
		leaseEnv+"="+lease.String(), maxRunEnv+"="+maxRun.String())

	if blocks {
		cmd.Env = append(cmd.Env, blocksEnv+"=1")
	}

	child, err := servertest.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}

	_ = write.Close()

	s := &server{child: child, output: bufio.NewReader(read)}

	t.Cleanup(func() {
		child.Kill()

		_ = read.Close()
	})

	s.addr = s.line(t)

	conn, err := grpc.NewClient("passthrough:"+s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = conn.Close() })

	s.client = pb.NewTestServiceClient(conn)

	return s
}

// line returns the next line of the server's output.
func (s *server) line(t *testing.T) string {
	t.Helper()

	line, err := s.output.ReadString('\n')
	if err != nil {
		t.Fatalf("the server says %q and no more: %v", line, err)
	}

	return strings.TrimSpace(line)
}

func (s *server) pay(ctx context.Context, key string) (*pb.SimpleResponse, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, interceptor.KeyHeader, key)

	return s.client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 17})
}

// killInHandler kills a server during a payment.
func killInHandler(t *testing.T, address, key string, maxRun time.Duration) {
	t.Helper()

	// On a slow machine, a lease can end before the handler runs. Then the call fails, and the next server has a longer lease.
	for lease := testLease; !diesInHandler(t, address, key, lease, maxRun); lease *= 2 {
		if lease > servertest.Patience {
			t.Fatalf("no payment has begun with a lease of %v", lease)
		}
	}
}

// diesInHandler starts a server, and kills it during a payment. It returns false if the call fails before the handler runs.
func diesInHandler(t *testing.T, address, key string, lease, maxRun time.Duration) bool {
	t.Helper()

	s := startServer(t, address, lease, maxRun, true)
	defer s.child.Kill()

	failed, said := make(chan error, 1), make(chan string, 1)

	go func() {
		_, err := s.pay(t.Context(), key)
		failed <- err
	}()

	go func() {
		line, _ := s.output.ReadString('\n')
		said <- strings.TrimSpace(line)
	}()

	select {
	case err := <-failed:
		if err == nil {
			t.Fatal("a payment whose handler did not run has an answer")
		}

		t.Logf("the handler does not run with a lease of %v: %v", lease, err)

		return false
	case line := <-said:
		if line != "running" {
			t.Fatalf("the server says %q", line)
		}
	}

	// In Redis, the index lists a run some time after its claim.
	waitListed(t, address, "--state", "running,unknown")
	s.child.Kill()

	if err := <-failed; err == nil {
		t.Fatal("a call whose server was killed has an answer")
	}

	return true
}

// migrated creates the tables of a database.
func migrated(t *testing.T, d *sqltest.Database, dialect sqlstore.Dialect) {
	t.Helper()

	if err := sqlstore.Migrate(t.Context(), d.DB(t), dialect); err != nil {
		t.Fatal(err)
	}
}

// sqliteURL returns the URL of an empty SQLite store.
func sqliteURL(t *testing.T) string {
	t.Helper()

	d := sqltest.SQLite(t)
	migrated(t, d, sqlstore.SQLite)

	return "sqlite:" + d.Addr()
}

func postgresURL(t *testing.T) string {
	t.Helper()

	d := sqltest.PostgresDatabase(t)
	migrated(t, d, sqlstore.PostgreSQL)

	return d.DSN()
}

// mysqlURL returns the URL of an empty MariaDB store.
func mysqlURL(t *testing.T) string {
	t.Helper()

	d := sqltest.MariaDBDatabase(t)
	migrated(t, d, sqlstore.MySQL)

	return "mysql://root@" + d.Addr() + "/" + d.Name()
}
