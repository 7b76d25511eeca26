// Package demo places orders in a shop of four services. All services are killed and restarted at random, and the network loses replies.
// The demo runs without and then with onlyonce, and counts the effects in the databases.
package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/onlyonce-go/onlyonce/examples/internal/child"
	"github.com/onlyonce-go/onlyonce/examples/orders/gateway"
	"github.com/onlyonce-go/onlyonce/examples/orders/inventory"
	"github.com/onlyonce-go/onlyonce/examples/orders/orders"
	"github.com/onlyonce-go/onlyonce/examples/orders/payments"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
)

// serviceCommand is the command by which the demo runs a service as a process of its own.
const serviceCommand = "service"

// Run runs a command of the program.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	name := "demo"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}

	switch name {
	case "demo":
		return demoCommand(ctx, args, stdout, stderr)
	case serviceCommand:
		return runService(ctx, stdout, stderr)
	default:
		return fmt.Errorf("there is no command %q: choose demo", name)
	}
}

func runService(ctx context.Context, stdout, stderr io.Writer) error {
	var config service.Config

	ctx, stop, err := child.Obey(ctx, &config)
	if err != nil {
		return err
	}
	defer stop()

	switch config.Name {
	case service.Gateway:
		return service.Run(ctx, &config, gateway.Definition(), stdout, stderr)
	case service.Orders:
		return service.Run(ctx, &config, orders.Definition(), stdout, stderr)
	case service.Payments:
		return service.Run(ctx, &config, payments.Definition(), stdout, stderr)
	case service.Inventory:
		return service.Run(ctx, &config, inventory.Definition(), stdout, stderr)
	default:
		return fmt.Errorf("there is no service %q", config.Name)
	}
}

// demo is what the demonstration does.
type demo struct {
	orders   []order
	workers  int
	seed     uint64
	faults   faultynet.Faults // of each line between two services
	lease    time.Duration
	patience time.Duration // of a customer
	folder   string        // of databases, traces and picture
	postgres string        // a server, instead of files
	parkAt   string        // hook at which the orders service stops, so that a test can kill it
	progress io.Writer
	// childErrors gets the standard error of the services.
	childErrors io.Writer
}

func newDemo(count int, folder string) *demo {
	return &demo{
		orders: makeOrders(count), workers: 16, seed: 1, folder: folder, // see the fields
		faults:   faultynet.Faults{Reset: 0.01, LostReply: 0.02, Late: 0.004, Delay: 700 * time.Millisecond}, // see the fields
		lease:    time.Second,
		patience: 5 * time.Minute, progress: io.Discard, childErrors: io.Discard, // longer than any order takes
	}
}

// errNotShown reports that the demonstration has failed.
var errNotShown = errors.New("the demonstration failed")

func demoCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("orders demo", flag.ContinueOnError)
	count := flags.Int("orders", 500, "number of orders")                 // a default
	workers := flags.Int("workers", 16, "number of concurrent customers") // a default
	seed := flags.Uint64("seed", 1, "seed of the faults")
	postgres := flags.String("postgres", "", "URL of a PostgreSQL server; the demo creates databases there and drops them at the end, "+
		"such as postgres://user:password@127.0.0.1:5432/postgres; default: SQLite files")
	folder := flags.String("folder", "", "folder for databases, traces and the picture; default: a new temporary folder")

	flags.SetOutput(stderr)

	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp // the flag package has printed the error
	}

	if flags.NArg() > 0 || *count < 1 || *workers < 1 {
		return errors.New("demo takes no arguments, at least 1 order and at least 1 worker: see orders demo -h")
	}

	if err := makeFolder(folder); err != nil {
		return err
	}

	d := newDemo(*count, *folder)
	d.workers, d.seed, d.postgres, d.progress, d.childErrors = *workers, *seed, *postgres, stderr, stderr

	return d.show(ctx, stdout)
}

func makeFolder(folder *string) (err error) {
	if *folder == "" {
		*folder, err = os.MkdirTemp("", "onlyonce-orders-")
	} else {
		err = os.MkdirAll(*folder, 0o700) // for the user only
	}

	if err != nil {
		return fmt.Errorf("creating the folder: %w", err)
	}

	there, err := os.ReadDir(*folder)

	switch {
	case err != nil:
		return fmt.Errorf("reading the folder: %w", err)
	case len(there) > 0:
		return fmt.Errorf("the folder %s is not empty: give an empty folder, because the databases must be new", *folder)
	default:
		return nil
	}
}

// show places the orders without and with onlyonce, and prints the results. It fails unless every order happened once with onlyonce, and
// some orders happened twice without it.
func (d *demo) show(ctx context.Context, stdout io.Writer) error {
	const percent = 100

	_, _ = fmt.Fprintf(stdout, "%d orders, %d customers; gateway -> orders -> payments and inventory, each a process with a database of\n"+
		"its own. All of them are killed and restarted at random, and each line between them breaks before (%.1f %%) and after\n"+
		"(%.1f %%) the other side has worked, or is late (%.1f %%), for all calls on it.\n\n",
		len(d.orders), d.workers, d.faults.Reset*percent, d.faults.LostReply*percent, d.faults.Late*percent)

	plain, err := d.run(ctx, true)
	if err != nil {
		return err
	}

	protected, err := d.run(ctx, false)
	if err != nil {
		return err
	}

	page := filepath.Join(d.folder, "chain.html")
	if err := draw(page, protected); err != nil {
		return err
	}

	if err := report(stdout, page, plain, protected); err != nil {
		return err
	}

	switch {
	case !protected.audit.good(len(d.orders)):
		return fmt.Errorf("%w: with onlyonce, orders happened more than once or not at all: %s", errNotShown, protected.audit.wrong())
	case plain.audit.doubled == 0:
		return fmt.Errorf("%w: without onlyonce nothing happened twice, so the demonstration shows nothing: "+
			"try more orders or another seed", errNotShown)
	default:
		return nil
	}
}
