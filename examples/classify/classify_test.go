package classify

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what the handlers depend on. Each fault happens once.
type world struct {
	find, charge error // returned by the next call
	lost         bool  // the next charge happens, and its answer is lost
	charged      map[string]string
	keys         []string
}

func (w *world) Find(context.Context, string) (string, error) {
	err := w.find
	w.find = nil

	return "account-1", err
}

func (w *world) Charge(_ context.Context, key, _ string, _ int64, order string) (string, error) {
	w.keys = append(w.keys, key)

	if err := w.charge; err != nil {
		w.charge = nil

		return "", err
	}

	w.charged[order] = "payment-1"

	if w.lost {
		w.lost = false

		return "", errors.New("connection reset")
	}

	return "payment-1", nil
}

func (w *world) Payment(_ context.Context, order string) (string, bool, error) {
	payment, found := w.charged[order]

	return payment, found, nil
}

// serve returns a client of a handler that is protected with a policy.
func serve(
	t *testing.T, handler paymentsv1.PaymentServiceServer, p interceptor.Policy, opts ...grpc.DialOption,
) paymentsv1.PaymentServiceClient {
	t.Helper()

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(), interceptor.WithPolicy(p))
	if err != nil {
		t.Fatal(err)
	}

	server := grpc.NewServer(protect.ServerOptions()...)
	paymentsv1.RegisterPaymentServiceServer(server, handler)

	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()

	conn, err := grpc.NewClient("passthrough:bank", append(opts,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = conn.Close()

		server.Stop()
	})

	return paymentsv1.NewPaymentServiceClient(conn)
}

// answers calls Pay twice with one key, as a client does that has not got the first answer, and returns both answers.
func answers(t *testing.T, client paymentsv1.PaymentServiceClient) string {
	t.Helper()

	var both [2]string

	for i := range both {
		var trailer metadata.MD

		ctx := metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "order-7")
		_, err := client.Pay(ctx, &paymentsv1.PayRequest{OrderId: "7", AmountMinor: 100}, grpc.Trailer(&trailer))
		both[i] = status.Code(err).String() + " " + strings.Join(trailer.Get("idempotency-status"), ",")
	}

	return strings.Join(both[:], ", then ")
}

func TestF32ClassifiedErrorsLeaveNothingForPeople(t *testing.T) {
	t.Parallel()

	for _, fault := range []struct {
		name          string
		happens       func(w *world)
		before, after string
	}{
		{
			"none", func(*world) {},
			"OK executed, then OK replayed", "OK executed, then OK replayed",
		},
		{
			"no account", func(w *world) { w.find = ErrNoAccount },
			"Internal unknown, then Unknown unknown", "NotFound executed, then NotFound replayed",
		},
		{
			"accounts cannot be read", func(w *world) { w.find = errors.New("timeout") },
			"Internal unknown, then Unknown unknown", "Unavailable released, then OK executed",
		},
		{
			"declined", func(w *world) { w.charge = ErrDeclined },
			"Internal unknown, then Unknown unknown", "FailedPrecondition executed, then FailedPrecondition replayed",
		},
		{
			"charged, and the answer is lost", func(w *world) { w.lost = true },
			"Internal unknown, then Unknown unknown", "Unavailable unknown, then OK replayed",
		},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()

			old, classified := &world{charged: map[string]string{}}, &world{charged: map[string]string{}}
			fault.happens(old)
			fault.happens(classified)

			if got := answers(t, serve(t, &Unclassified{accounts: old, provider: old}, interceptor.Policy{})); got != fault.before {
				t.Errorf("before: %s, want %s", got, fault.before)
			}

			service := &Service{accounts: classified, provider: classified}
			if got := answers(t, serve(t, service, interceptor.Policy{Recover: service.Recover})); got != fault.after {
				t.Errorf("after: %s, want %s", got, fault.after)
			}

			if len(classified.keys) > 1 {
				t.Errorf("the provider was called with %q", classified.keys)
			}
		})
	}
}

// notes is a client's list of orders.
type notes []string

func (n *notes) add(note string) error {
	*n = append(*n, note)

	return nil
}

func (n *notes) Close(order string, answer error) error {
	return n.add(order + " closed " + status.Code(answer).String())
}
func (n *notes) TryLater(order, key string) error { return n.add(order + " later " + key) }
func (n *notes) Open(order, key string) error     { return n.add(order + " open " + key) }

func TestCheckoutNotesWhatBecameOfAnOrder(t *testing.T) {
	t.Parallel()

	retries, err := interceptor.DialOptions()
	if err != nil {
		t.Fatal(err)
	}

	w := &world{charged: map[string]string{}, charge: ErrDeclined}
	service := &Service{accounts: w, provider: w}
	client := serve(t, service, interceptor.Policy{}, retries...)

	var orders notes

	for _, order := range []string{"1", "2", "3"} {
		if order == "3" {
			w.lost = true
		}

		req := &paymentsv1.PayRequest{OrderId: order, AmountMinor: 100}
		if err := Checkout(t.Context(), client, &orders, req); err != nil {
			t.Fatal(err)
		}
	}

	want := "1 closed FailedPrecondition; 2 closed OK; 3 open order-3"
	if got := strings.Join(orders, "; "); got != want {
		t.Errorf("noted is %s, want %s", got, want)
	}
}
