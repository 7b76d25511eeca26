package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

//go:embed testdata/payments.csv
var embeddedOrders []byte

// demo configures the demonstration.
type demo struct {
	orders  []orders.Order
	records store.Store // of a demonstration in one process
	seed    uint64
	workers int
	// twice is the probability that an order is submitted by two clients at once.
	twice  float64
	faults faultynet.Faults
	// work is how long a payment takes in the service.
	work time.Duration
	// patience bounds the payment of one order, with all its retries.
	patience time.Duration
	retry    retry.Policy
	// retention is how long the servers keep outcomes.
	retention time.Duration
	progress  io.Writer

	// shared is the URL of a store that processes share. With one, servers and ledger are processes. The fields below are for them.
	shared  string
	prefix  string // of the names of the records in the store, or of the payments
	servers int
	// childErrors gets the standard error of the processes.
	childErrors io.Writer

	// metricsAt is the address of the demo's metrics; empty means none. See metricsOf for those of the servers.
	metricsAt string
	metrics   *metrics
}

func newDemo(all []orders.Order) *demo {
	return &demo{
		orders: all, records: memstore.New(), seed: 1, workers: 32, twice: 0.05, // see the fields
		faults: faultynet.Faults{
			Reset: 0.03, LostReply: 0.08, Late: 0.04, Delay: 400 * time.Millisecond, // see the fields
		},
		work:     2 * time.Millisecond,
		patience: 2 * time.Minute, // longer than any order takes
		retry: retry.Policy{
			MaxAttempts: 12, BaseDelay: 20 * time.Millisecond, MaxDelay: time.Second,
			AttemptTimeout: 250 * time.Millisecond,
		},
		retention:   onlyonce.DefaultRetention,
		progress:    io.Discard,
		childErrors: io.Discard,
	}
}

// demoPrefix begins the prefix of every demo.
const demoPrefix = "onlyonce-demo-"

// share makes the servers processes that keep their records at a URL.
func (d *demo) share(address string, servers int) {
	d.shared, d.servers = address, servers
	d.prefix = demoPrefix + rand.Text()[:8] + ":" // one in 10^12
	d.retention = sharedPolicy().Retention
}

// errNotShown reports that the demonstration has failed.
var errNotShown = errors.New("the demonstration failed")

func demoCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("payments demo", flag.ContinueOnError)
	input := flags.String("input", "", "CSV file of payment orders ("+orders.Header+"), - for standard input; default: 1,000 built-in orders")
	address := flags.String("store", memory, storeUsage)
	servers := flags.Int("servers", 0, "number of server processes; default: 2 on a store that processes share, 1 otherwise")
	seed := flags.Uint64("seed", 1, "seed of the faults")
	metricsAt := flags.String("metrics", "", "`address` for metrics of Prometheus while the demo runs, such as :9090; "+
		"servers and reconcilers that are processes use the ports above it")
	workers := flags.Int("workers", 32, "number of concurrent clients") // a default

	if err := parse(flags, args, stderr); err != nil {
		return err
	}

	if *workers < 1 {
		return fmt.Errorf("-workers is %d: give at least 1", *workers)
	}

	shared, err := checkStore(ctx, *address, servers)
	if err != nil {
		return err
	}

	all, err := readOrders(*input)
	if err != nil {
		return err
	}

	d := newDemo(all)
	d.seed, d.workers, d.progress, d.childErrors = *seed, *workers, stderr, stderr

	if shared {
		d.share(*address, *servers)
	}

	if d.metrics, err = exportMetrics(ctx, *metricsAt, "the demo", stderr); err != nil {
		return err
	}
	defer d.metrics.close()

	if d.metrics != nil {
		d.metricsAt = *metricsAt
		d.records = memstore.New(memstore.WithObserver(d.metrics.StoreObserver("memory")))
	}

	return d.show(ctx, stdout)
}

// checkStore reports whether processes can share a store, and sets the number of servers if it is 0. It fails if that many servers cannot
// use the store.
func checkStore(ctx context.Context, address string, servers *int) (bool, error) {
	const sharing = 2

	shared, err := isShared(address)

	switch {
	case err != nil:
		return false, err
	case *servers < 0:
		return false, fmt.Errorf("-servers is %d: give at least 1", *servers)
	case !shared && *servers > 1:
		return false, fmt.Errorf("%d servers cannot share %s, which is the memory of one process: give -store redis://127.0.0.1:6379, "+
			"or where your Redis is", *servers, memory)
	case !shared:
		return false, nil
	}

	if *servers == 0 {
		*servers = sharing
	}

	if isDatabase(address) {
		if err := checkDatabase(ctx, address); err != nil {
			return false, fmt.Errorf("%w; nothing was charged", err)
		}

		return true, nil
	}

	_, closeStore, err := openStore(address, sharedOptions("")...) //nolint:contextcheck // it takes some seconds at most
	if err != nil {
		return false, fmt.Errorf("%w; nothing was charged", err)
	}

	closeStore()

	return true, nil
}

func readOrders(path string) ([]orders.Order, error) {
	var source io.Reader = bytes.NewReader(embeddedOrders)

	switch path {
	case "":
		path = "the built-in orders"
	case "-":
		source, path = os.Stdin, "standard input"
	default:
		file, err := os.Open(path) //nolint:gosec // the user's own file
		if err != nil {
			return nil, fmt.Errorf("reading orders: %w", err)
		}
		defer file.Close() //nolint:errcheck // it was only read

		source = file
	}

	all, err := orders.Read(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; nothing was charged", path, err)
	}

	return all, nil
}

// show pays the orders without onlyonce, with it, and with its client alone, and prints the results. It fails unless onlyonce has charged
// every order once, the client alone has charged no order twice, and plain retries have charged an order twice.
func (d *demo) show(ctx context.Context, stdout io.Writer) error {
	d.introduce(stdout)

	plain, err := d.run(ctx, modePlain)
	if err != nil {
		return err
	}

	protected, err := d.run(ctx, modeOnlyonce)
	if err != nil {
		return err
	}

	alone, err := d.run(ctx, modeNoKit)
	if err != nil {
		return err
	}

	if err := report(stdout, plain, protected, alone); err != nil {
		return err
	}

	return check(plain, protected, alone)
}

// introduce prints what happens in the demonstration.
func (d *demo) introduce(stdout io.Writer) {
	_, _ = fmt.Fprintf(stdout, "%d payment orders, %d clients, a network that breaks connections before (%.0f %%) and after (%.0f %%) the\n"+
		"server has worked, holds %.0f %% of the replies back for longer than a client waits, and users who\n"+
		"submit %.0f %% of the orders twice at once.\n\n",
		len(d.orders), d.workers, percent(d.faults.Reset), percent(d.faults.LostReply), percent(d.faults.Late), percent(d.twice))

	switch {
	case d.shared == "":
	case isDatabase(d.shared):
		_, _ = fmt.Fprintf(stdout, "The ledger is a table in the database of the records, and each payment commits together with its record.\n"+
			"%d times one of the servers is killed with a payment written and not yet committed, and started again.\n\n"+
			"server processes: %d\n"+
			"database: %s, tables %s and %s,\n"+
			"runs whose names begin with %s\n\n",
			tillStrikes, d.servers, location(d.shared), paymentsTable, recordsTable, d.prefix)
	default:
		_, _ = fmt.Fprintf(stdout, "The ledger is a process of its own, as a payment provider is. One of the servers is killed while calls are\n"+
			"in flight, and started again. The reconcilers, which are processes as well, read the ledger and settle what is unknown.\n\n"+
			"server processes: %d\n"+
			"reconcilers: %d\n"+
			"records: %s, under names that begin with %s, for %v\n\n",
			d.servers, reconcilers, location(d.shared), d.prefix, d.retention)
	}
}

// check fails unless the trials show what the kit promises.
func check(plain, protected, alone *trial) error {
	switch {
	case alone.doubled > 0:
		return fmt.Errorf("%w: against servers without the kit, its client charged orders more than once", errNotShown)
	case int64(alone.charged) > int64(alone.answered)+alone.unknown:
		return fmt.Errorf("%w: against servers without the kit, %d orders were charged, and the client reports %d payments and %d unknown "+
			"outcomes", errNotShown, alone.charged, alone.answered, alone.unknown)
	case protected.doubled > 0 || protected.missing > 0 || protected.charged != protected.requested:
		return fmt.Errorf("%w: with onlyonce, orders were charged more than once or never", errNotShown)
	case plain.doubled == 0:
		return fmt.Errorf("%w: plain retries charged nothing twice, so the demonstration shows nothing: "+
			"try more orders or another seed", errNotShown)
	default:
		return nil
	}
}

func percent(probability float64) float64 { return probability * 100 } // per cent
