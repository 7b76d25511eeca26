package pages

import (
	"context"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// NativeRetries is the client of docs/retries.md with the retries of gRPC.
func NativeRetries(target string, key grpc.UnaryClientInterceptor) (*grpc.ClientConn, error) {
	config, err := retry.ServiceConfig(retry.Policy{MaxAttempts: 4}, paymentsv1.PaymentService_Pay_FullMethodName)
	if err != nil {
		return nil, err
	}

	return grpc.NewClient(target, grpc.WithDefaultServiceConfig(config), grpc.WithChainUnaryInterceptor(key))
}

// Budget returns the tokens of docs/retries.md.
func Budget(budgets *retry.Budgets) map[string]float64 {
	return budgets.Tokens() // map[dns:///payments:443:9.4]: calls are retried while it is above half
}

// Daily is the key of docs/keys.md.
func Daily() (string, error) {
	key, err := onlyonce.KeyFrom("fortune", "2025-01-15", "prf_abc123", "daily") // fortune-2025-01-15-prf_abc123-daily

	return key, err
}

// Packed is the message of docs/fingerprint.md.
func Packed(details proto.Message) (*anypb.Any, error) {
	packed := new(anypb.Any)
	err := anypb.MarshalFrom(packed, details, proto.MarshalOptions{Deterministic: true})

	return packed, err
}

type (
	// Orders stores the answers that a journal has found.
	Orders interface {
		Paid(ctx context.Context, key string, response any, err error) error
	}
	// People get the calls that a journal cannot send.
	People interface {
		Ask(ctx context.Context, entry journal.Entry, reason error) error
	}
)

// Journal is the client of docs/journal.md.
func Journal(
	ctx context.Context, target string, creds grpc.DialOption, orders Orders, people People,
) (journal.Summary, error) {
	calls, err := journal.Open("payments.journal")
	if err != nil {
		return journal.Summary{}, err
	}

	dial, err := interceptor.DialOptions(interceptor.WithJournal(calls))
	if err != nil {
		return journal.Summary{}, err
	}

	conn, err := grpc.NewClient(target, append(dial, creds)...)
	if err != nil {
		return journal.Summary{}, err
	}

	summary, err := interceptor.Resume(ctx, calls, conn, // at the start, and whenever calls.Left() is not 0
		journal.OnAnswer(paymentsv1.PaymentService_Pay_FullMethodName, func(ctx context.Context, answer journal.Answer) error {
			return orders.Paid(ctx, answer.Entry.Key, answer.Response, answer.Err)
		}),
		journal.OnUnsent(func(ctx context.Context, entry journal.Entry, reason error) error {
			return people.Ask(ctx, entry, reason)
		}))

	return summary, err
}

// HTTPJournal is the client of docs/journal.md over HTTP.
func HTTPJournal(
	ctx context.Context, calls *journal.Journal, payments func(*http.Request) bool, authorize func(*http.Request) error,
	orders interface {
		Paid(ctx context.Context, key string, resp *http.Response) error
	},
) (journal.Summary, error) {
	transport, err := oncehttp.NewTransport(http.DefaultTransport,
		oncehttp.WithJournal(calls, "X-Version"), oncehttp.WithPresumed(payments), oncehttp.WithResumed(authorize))
	if err != nil {
		return journal.Summary{}, err
	}

	summary, err := transport.Resume(ctx, "https://shop.test", journal.OnAnswer("POST /payments",
		func(ctx context.Context, answer journal.Answer) error {
			resp := answer.Response.(*http.Response) // the body is in memory
			return orders.Paid(ctx, answer.Entry.Key, resp)
		}))

	return summary, err
}

// Annotated is the client of docs/annotations.md.
func Annotated(target string, creds credentials.TransportCredentials) (*grpc.ClientConn, error) {
	dial, err := interceptor.DialOptions()
	if err != nil {
		return nil, err
	}

	conn, err := grpc.NewClient(target, append(dial, grpc.WithTransportCredentials(creds))...)

	return conn, err
}

// Budgeted is the client of docs/retries.md with a budget.
func Budgeted(budgets *retry.Budgets) ([]grpc.DialOption, error) {
	dial, err := interceptor.DialOptions(interceptor.WithBudgets(budgets))

	return dial, err
}
