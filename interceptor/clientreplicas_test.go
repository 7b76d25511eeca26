package interceptor_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// deploy is a connection that spreads its calls over two replicas, of which one has the kit.
func deploy(t *testing.T, book *ledger, opts ...interceptor.ClientOption) (conn *grpc.ClientConn, fresh, old *lossy) {
	t.Helper()

	_, fresh = startLossy(t, setup{}, book.charge)
	_, old = startLossy(t, setup{unprotected: true}, book.charge)

	return dialBoth(t, fresh, old, mustDial(t, append(opts, interceptor.WithClientLogger(slog.New(slog.DiscardHandler)))...)), fresh, old
}

// dialBoth connects to two replicas in turn.
func dialBoth(t *testing.T, fresh, old *lossy, dial []grpc.DialOption) *grpc.ClientConn {
	t.Helper()

	replicas := manual.NewBuilderWithScheme("deploy")
	replicas.InitialState(resolver.State{Addresses: []resolver.Address{
		{Addr: fresh.line.Addr().String()}, {Addr: old.line.Addr().String()},
	}})

	conn, err := grpc.NewClient("deploy:///", append(dial, grpc.WithTransportCredentials(local()), grpc.WithResolvers(replicas),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	return conn
}

// F75: in a rolling deploy, some replicas have the kit and others do not. A call that a replica without the kit may
// have run is not repeated, and no call is repeated there.
func TestF75_RollingDeployChargesNothingTwice(t *testing.T) {
	for name, lose := range map[string]func(fresh, old *lossy){
		"both lose replies":            func(fresh, old *lossy) { fresh.lose(3); old.lose(4) },
		"the old replica loses all":    func(_, old *lossy) { old.lose(1) },
		"the new replica loses many":   func(fresh, _ *lossy) { fresh.lose(2) },
		"the first replies arrive":     func(*lossy, *lossy) {},
		"every second one of the rest": func(fresh, old *lossy) { fresh.lose(2); old.lose(2) },
	} {
		t.Run(name, func(t *testing.T) {
			book := &ledger{}
			conn, fresh, old := deploy(t, book, interceptor.WithMethods(unaryCall), patiently())
			lose(fresh, old)

			answered, errs := charge(t, conn)
			book.mustNotDouble(t, errs)

			if lost := fresh.losses() + old.losses(); answered < manyOrders-lost {
				t.Errorf("%d answers, although only %d replies were lost: %v", answered, lost, errs)
			}
		})
	}
}

// F75: a call that a confirmed replica has lost is retried, but never at an unconfirmed replica.
func TestF75_RetryGoesToReplicasThatHaveConfirmed(t *testing.T) {
	book, seen := &ledger{}, &journal{}
	conn, fresh, old := deploy(t, book, interceptor.WithMethods(unaryCall), patiently(), seen.option())

	for i := 0; !fresh.isUsed() || !old.isUsed(); i++ {
		callOn(t.Context(), conn, unaryCall, order(fmt.Sprint("before ", i)), grpc.WaitForReady(true))
	}

	fresh.lose(2)

	answered, errs := charge(t, conn)
	book.mustNotDouble(t, errs)

	if answered != manyOrders {
		t.Errorf("%d of %d orders are answered, although the old replica loses nothing: %v", answered, manyOrders, errs)
	}

	if fresh.losses() == 0 || old.losses() != 0 {
		t.Errorf("%d and %d replies were lost", fresh.losses(), old.losses())
	}

	if seen.kept() == 0 {
		t.Error("no retry was kept from the old replica: the test shows nothing")
	}
}

// kept is how many attempts the client has kept from replicas that have not confirmed anything.
func (j *journal) kept() (n int) {
	for _, attempt := range j.seen() {
		if attempt.Err != nil && strings.Contains(attempt.Err.Error(), "was not sent to ") {
			n++
		}
	}

	return n
}

// F79: an attempt that is kept from a replica costs no token of the retry budget: no server is in trouble.
func TestF79_AttemptsThatAreKeptBackCostNoToken(t *testing.T) {
	budget, err := retry.NewBudget(100, 0.001)
	if err != nil {
		t.Fatal(err)
	}

	book, seen := &ledger{}, &journal{}
	conn, fresh, old := deploy(t, book, interceptor.WithMethods(unaryCall), seen.option(), interceptor.WithRetry(retry.Policy{
		MaxAttempts: 10_000, BaseDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond, Budget: budget,
	}))

	for i := 0; !fresh.isUsed() || !old.isUsed(); i++ {
		callOn(t.Context(), conn, unaryCall, order(fmt.Sprint("before ", i)), grpc.WaitForReady(true))
	}

	fresh.lose(2)
	charge(t, conn)

	if seen.kept() == 0 {
		t.Fatal("no attempt was kept from the old replica: the test shows nothing")
	}

	if taken := 100 - budget.Tokens(); taken > float64(fresh.losses()) {
		t.Errorf("%d replies were lost, %d attempts were kept back, and %.1f tokens are gone", fresh.losses(), seen.kept(), taken)
	}
}

// F75: two builds share one address, such as a virtual IP. The old build still runs a call while the new one confirms
// the address. The confirmation does not cover the call that was sent before it.
func TestF75_ConfirmationDoesNotHoldForAttemptsThatWereSentBeforeIt(t *testing.T) {
	var (
		book   ledger
		server *grpc.Server
		now    atomic.Pointer[world]
	)

	running := make(chan struct{})
	old := start(t, setup{tcp: true, unprotected: true, register: func(s *grpc.Server) { server = s }},
		func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			resp, err := book.charge(ctx, req)

			close(running)
			<-ctx.Done() // the reply is never sent

			return resp, err
		})
	fresh := start(t, setup{tcp: true}, book.charge)

	now.Store(old)

	conn := old.dial(t, append(mustDial(t, interceptor.WithMethods(unaryCall), patiently()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := now.Load().listener.dial(ctx, addr)
			if err != nil {
				return nil, err
			}

			return standIn{conn, old.listener.Addr()}, nil
		}), soon())...)

	first := background(func() answer { return callOn(t.Context(), conn, unaryCall, order("first")) })

	<-running
	now.Store(fresh)

	go server.GracefulStop() // the first call goes on

	if !conn.WaitForStateChange(t.Context(), connectivity.Ready) {
		t.Fatal("the old build keeps its connection")
	}

	callOn(t.Context(), conn, unaryCall, order("second"), grpc.WaitForReady(true)).mustHaveStatus(t, onlyonce.StatusExecuted)
	old.listener.cut() // the old build ends

	if got := <-first; onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown {
		t.Errorf("the answer is %v, %v", got.resp, got.err)
	}

	if n := book.of("first"); n != 1 {
		t.Errorf("the first order was charged %d times", n)
	}
}

// F75: both builds stay behind one address, such as that of a proxy. Calls that the old build loses are not retried,
// although the new one answers with the status in between.
func TestF75_AddressWithBothBuildsBehindItIsNotConfirmed(t *testing.T) {
	book := &ledger{}
	_, fresh := startLossy(t, setup{}, book.charge)
	_, old := startLossy(t, setup{unprotected: true}, book.charge)

	dial := append(mustDial(t, interceptor.WithMethods(unaryCall), patiently(),
		interceptor.WithClientLogger(slog.New(slog.DiscardHandler))),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)

			return standIn{conn, fresh.line.Addr()}, err
		}))
	conn := dialBoth(t, fresh, old, dial)

	for i := 0; !fresh.isUsed() || !old.isUsed(); i++ {
		callOn(t.Context(), conn, unaryCall, order(fmt.Sprint("before ", i)), grpc.WaitForReady(true))
	}

	old.lose(3)

	answered, errs := charge(t, conn)
	book.mustNotDouble(t, errs)

	if old.losses() == 0 || answered != manyOrders-old.losses() {
		t.Errorf("%d of %d orders are answered, %d replies were lost", answered, manyOrders, old.losses())
	}
}
