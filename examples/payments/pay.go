package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/journal"
)

// payment configures the command pay.
type payment struct {
	addr, key  string
	journal    string // the file of the journal; empty: none
	resumeOnly bool
	die        string // the point at which the process kills itself; empty: none
}

// The points at which the process may kill itself, in the order of a call.
const (
	dieBegun    = "begun"    // nothing is written
	dieWritten  = "written"  // the call is in the journal, and was not sent
	dieAnswered = "answered" // the payment has happened, and the call is in the journal
	dieEnded    = "ended"    // the call is no longer in the journal, and the program does not know it
)

// diePoints returns all of them.
func diePoints() []string { return []string{dieBegun, dieWritten, dieAnswered, dieEnded} }

func payCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var p payment

	flags := flag.NewFlagSet("payments pay", flag.ContinueOnError)
	flags.StringVar(&p.addr, "addr", defaultAddr, "address of the payment service")
	flags.StringVar(&p.key, "key", "", "idempotency key; default: one made from the order id")
	flags.StringVar(&p.journal, "journal", "", "`file` with the journal of calls without an answer; calls that are left there are sent first")
	flags.BoolVar(&p.resumeOnly, "resume", false, "only send the calls that are left in the journal")
	flags.StringVar(&p.die, "die", "", "kill this process, to try the journal, at a `point`: "+strings.Join(diePoints(), ", "))
	id := flags.String("order", "ord-1", "order id")
	payer := flags.String("payer", "customer-001", "account that pays")
	payee := flags.String("payee", "books-07", "account that is paid")
	amount := flags.String("amount", "12.50", "amount")
	currency := flags.String("currency", "EUR", "currency")

	if err := parse(flags, args, stderr); err != nil {
		return err
	}

	if p.resumeOnly && p.journal == "" {
		return errors.New("-resume needs a -journal")
	}

	order, err := orders.New(*id, *payer, *payee, *amount, *currency)
	if err != nil {
		return err // names the problem
	}

	if p.key == "" {
		p.key = order.Key()
	}

	return p.pay(ctx, stdout, order)
}

func (p *payment) pay(ctx context.Context, stdout io.Writer, order orders.Order) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()

	opts := []interceptor.ClientOption{
		interceptor.WithClientTrace(p.deathTrace()),
		interceptor.WithAttemptObserver(func(_ context.Context, a interceptor.Attempt) {
			_, _ = fmt.Fprintf(stdout, "attempt %d: idempotency-status %q, error %v\n", a.Number, a.Status, a.Err)
		}),
	}

	var calls *journal.Journal

	if p.journal != "" {
		var err error
		if calls, err = journal.Open(p.journal); err != nil { //nolint:contextcheck // to open a journal takes none
			return err // names the problem
		}
		defer calls.Close() //nolint:errcheck // what is not removed is sent again, and gets the same answer

		opts = append(opts, interceptor.WithJournal(calls))
	}

	conn, err := dial(p.addr, opts...)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // there is nothing left to lose

	if calls != nil {
		if err := resume(ctx, stdout, calls, conn); err != nil || p.resumeOnly {
			return err
		}
	}

	resp, err := paymentsv1.NewPaymentServiceClient(conn).Pay(ctx, request(order), interceptor.WithKey(p.key))
	if err != nil {
		return fmt.Errorf("paying with key %s: %w (outcome: %v)", p.key, err, onlyonce.VerdictOf(err))
	}

	_, _ = fmt.Fprintf(stdout, "key %s: payment %s of order %s, charge number %d, balance of %s now %s %s\n",
		p.key, resp.GetPaymentId(), resp.GetOrderId(), resp.GetChargeNumber(), order.Payer,
		orders.FormatAmount(resp.GetBalanceMinor(), order.Currency), order.Currency)

	return nil
}

// resume sends the payments of an earlier process that have no answer.
func resume(ctx context.Context, stdout io.Writer, calls *journal.Journal, conn *grpc.ClientConn) error {
	for _, damage := range calls.Damage() {
		_, _ = fmt.Fprintf(stdout, "the journal is damaged: %d bytes at %d, %d records\n", damage.Bytes, damage.Offset, damage.Records)
	}

	summary, err := interceptor.Resume(ctx, calls, conn,
		journal.OnAnswer(paymentsv1.PaymentService_Pay_FullMethodName, func(_ context.Context, answer journal.Answer) error {
			paid, ok := answer.Response.(*paymentsv1.PayResponse)
			if answer.Err != nil || !ok {
				_, _ = fmt.Fprintf(stdout, "key %s, left by an earlier process: %v\n", answer.Entry.Key, answer.Err)

				return nil //nolint:nilerr // the error is the answer
			}

			_, _ = fmt.Fprintf(stdout, "key %s, left by an earlier process: payment %s of order %s, charge number %d\n",
				answer.Entry.Key, paid.GetPaymentId(), paid.GetOrderId(), paid.GetChargeNumber())

			return nil
		}),
		journal.OnUnsent(func(_ context.Context, entry journal.Entry, reason error) error {
			_, _ = fmt.Fprintf(stdout, "key %s, left by an earlier process, is not sent: %v; look the payment up in the ledger\n", entry.Key, reason)

			return nil // the journal removes the call
		}))
	if err != nil {
		return fmt.Errorf("sending the calls that are left: %w", err)
	}

	_, _ = fmt.Fprintf(stdout, "journal: %d calls were left and have their answers now\n", summary.Answered)

	return nil
}

// deathTrace kills the process at a point.
func (p *payment) deathTrace() *interceptor.ClientTrace {
	at := func(point string) {
		if p.die != point {
			return
		}

		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}

		if err == nil {
			select {} // until the signal arrives
		}
	}

	return &interceptor.ClientTrace{
		Begin:        func(ctx context.Context, _ interceptor.CallInfo) context.Context { at(dieBegun); return ctx },
		BeginAttempt: func(ctx context.Context, _ int) context.Context { at(dieWritten); return ctx },
		EndAttempt:   func(context.Context, interceptor.Attempt) { at(dieAnswered) },
		End:          func(context.Context, interceptor.CallEnd) { at(dieEnded) },
	}
}
