package interop_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// The environment of a process that runs cases. It ends with the first one that fails.
const (
	casesEnv = "ONLYONCE_INTEROP_CASES" // their names, with commas between
	addrEnv  = "ONLYONCE_INTEROP_ADDR"
	modeEnv  = "ONLYONCE_INTEROP_MODE"
)

// mode says which interceptors there are.
type mode string

const (
	withoutKit mode = "without the kit"
	unkeyed    mode = "without keys"
	keyed      mode = "with keys"
)

func TestMain(m *testing.M) {
	names, ok := os.LookupEnv(casesEnv)
	if !ok {
		goleak.VerifyTestMain(m) // it ends the process
	}

	if err := runCases(strings.Split(names, ","), os.Getenv(addrEnv), mode(os.Getenv(modeEnv))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runCases runs cases on a connection of their own, and prints their names.
func runCases(names []string, addr string, m mode) error {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// The cases about load reports have a balancer that reads them.
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}`),
	}

	if m != withoutKit {
		var client []interceptor.ClientOption
		if m == keyed {
			client = append(client, interceptor.WithAllMethods())
		}

		dial, err := interceptor.DialOptions(client...)
		if err != nil {
			return err
		}

		opts = append(opts, dial...)
	}

	connect := func() (*grpc.ClientConn, func()) {
		conn, err := grpc.NewClient(addr, opts...)
		if err != nil {
			panic(err) // an option is wrong
		}

		return conn, func() { _ = conn.Close() }
	}

	conn, end := connect()
	defer end()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()

	for _, name := range names {
		fmt.Fprintln(os.Stderr, name)
		cases(conn, addr, connect)[name](ctx)
	}

	return nil
}
