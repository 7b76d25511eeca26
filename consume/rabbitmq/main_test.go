//go:build unix

package oncerabbit_test

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/consume/rabbitmq/internal/rabbittest"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(childMain(mode))
	}

	goleak.VerifyTestMain(withServer{m})
}

// withServer runs tests, and stops the server that they share.
type withServer struct{ *testing.M }

func (w withServer) Run() int {
	code := w.M.Run()

	if shared.server != nil {
		shared.server.Stop()

		if conn, err := net.Dial("tcp", shared.server.Addr()); err == nil {
			conn.Close()
			fmt.Fprintln(os.Stderr, "RabbitMQ is still there")

			code = 1
		}
	}

	if err := os.RemoveAll(shared.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)

		code = 1
	}

	return code
}

// shared is the server of all tests, which starts with the first one that needs it.
var shared struct {
	sync.Once

	dir    string
	server *rabbittest.Server
	err    error
}

func server(t *testing.T) *rabbittest.Server {
	t.Helper()

	shared.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "onlyonce-rabbitmq-"); shared.err == nil { //nolint:usetesting // all tests share it
			shared.server, shared.err = rabbittest.Start(shared.dir)
		}
	})

	if shared.err != nil {
		t.Fatal(shared.err)
	}

	return shared.server
}
