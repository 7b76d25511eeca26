//go:build unix

package sqlcrash

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The rows of a consumer and the record of its message are in one transaction.
func TestF05AConsumerOnPostgreSQLThatIsKilledLeavesBothItsRowsAndItsRecordOrNeither(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct {
		mode onlyonce.TransactionMode
		at   point
		rows int   // that the killed consumer leaves
		runs int64 // of the next consumer
	}{
		"joined, before the commit":          {onlyonce.JoinedTransaction, atWritten, 0, 1},
		"joined, after the commit":           {onlyonce.JoinedTransaction, atCommitted, 1, 0},
		"joined, before the acknowledgement": {onlyonce.JoinedTransaction, atAck, 1, 0},
		"single, before the commit":          {onlyonce.SingleTransaction, atWritten, 0, 1},
		"single, before the acknowledgement": {onlyonce.SingleTransaction, atAck, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			q := newQueue(t, test.mode)
			q.kill(t, test.at)

			if rows := q.charges(t); rows != test.rows {
				t.Errorf("the killed consumer leaves %d rows, want %d", rows, test.rows)
			}

			if runs := q.consume(t, onlyonce.Policy{}, nil); runs != test.runs {
				t.Errorf("the next consumer runs the handler %d times, want %d", runs, test.runs)
			}

			if rows, dead := q.charges(t), q.stored(t, "dead"); rows != 1 || dead != 0 {
				t.Errorf("there are %d rows and %d dead letters, want one row", rows, dead)
			}
		})
	}
}

// PostgreSQL rolls back the transaction of each run, so the record counts nothing.
func TestF55AConsumerOnPostgreSQLWhoseHandlerAlwaysOutlivesMaxRunMakesADeadLetter(t *testing.T) {
	t.Parallel()

	for name, result := range map[string]func(err error) error{
		"it returns the error":     func(err error) error { return err },
		"it passes over the error": func(error) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			const attempts = 3

			q := newQueue(t, onlyonce.SingleTransaction)
			runs := 0

			q.consume(t, onlyonce.Policy{Lease: 100 * time.Millisecond, MaxRun: 100 * time.Millisecond, MaxAttempts: attempts},
				func(ctx context.Context, _ *consume.Message) error {
					runs++
					if runs > attempts {
						return onlyonce.Final(errors.New("it runs too often"))
					}

					_, err := sqlstore.Tx(ctx).ExecContext(ctx, "SELECT pg_sleep(3600)")

					return result(err)
				})

			if dead := q.stored(t, "dead"); runs != attempts || dead != 1 {
				t.Errorf("there are %d runs and %d dead letters, want %d and 1", runs, dead, attempts)
			}
		})
	}
}
