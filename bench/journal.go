package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/journal"
)

const (
	withoutJournal = "without a journal"
	withJournal    = "with a journal"
)

// journalCalls measures calls with and without a journal, for one caller and for many.
func (c *config) journalCalls(ctx context.Context) (err error) {
	folder, err := os.MkdirTemp(".", ".journal-") // on this disk: the folder for temporary files may be in memory
	if err != nil {
		return err
	}

	j, err := journal.Open(filepath.Join(folder, "calls")) //nolint:contextcheck // opening a journal takes no context
	if err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}

	defer func() { err = errors.Join(err, j.Close(), os.RemoveAll(folder)) }()

	protect, err := protectedServer()
	if err != nil {
		return err
	}

	server, err := listen(ctx, new(service), protect)
	if err != nil {
		return err
	}
	defer server.stop()

	plain, err := journalClient(server)
	if err != nil {
		return err
	}

	journaled, err := journalClient(server, interceptor.WithJournal(j))
	if err != nil {
		return err
	}

	for _, load := range []struct{ callers, calls int }{{1, 500}, {64, 6_000}} {
		if err := c.journalCallers(ctx, load.callers, load.calls, plain, journaled); err != nil {
			return err
		}
	}

	return nil
}

func journalClient(server *loopback, opts ...interceptor.ClientOption) (testing.TestServiceClient, error) {
	dial, err := interceptor.DialOptions(append(opts, interceptor.WithAllMethods())...)
	if err != nil {
		return nil, err
	}

	return server.dial(dial...)
}

func (c *config) journalCallers(ctx context.Context, callers, calls int, plain, journaled testing.TestServiceClient) error {
	call := func(client testing.TestServiceClient) func() (func(int) error, error) {
		return always(func(int) error {
			_, err := client.UnaryCall(ctx, request)

			return err
		})
	}

	aim, many := "", "one caller"
	if callers > 1 {
		aim, many = " (aim: 0.33)", fmt.Sprintf("%d callers", callers)
	}

	return c.play(ctx, &contest{
		id: fmt.Sprintf("journal-%d", callers), question: fmt.Sprintf("What does the client's journal cost %s?", many),
		lost: func(of func(string) row) string {
			return fmt.Sprintf("Clients with a journal make %s of the calls per second.", ratio(of(withJournal).times(withoutJournal, perSecond)))
		},
		about: "Each call is written and synced before it is sent; calls at the same time share a sync. The server is in the process of the " +
			"clients and protects the calls with records in memory. The file is in the working directory: the disk decides.",
		columns: []column{
			times("calls/s, of those without"+aim, withoutJournal, perSecond),
			figure("calls/s", count, perSecond),
			figure("median", micros, latency),
		},
		callers: callers, calls: calls,
		variants: timedAll([]variant{{way: withoutJournal, start: call(plain)}, {way: withJournal, start: call(journaled)}}, calls),
	})
}
