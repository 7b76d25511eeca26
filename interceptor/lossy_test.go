package interceptor_test

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// ledger counts the charges of each order.
type ledger struct {
	mu      sync.Mutex
	charges map[string]int
}

func (l *ledger) charge(_ context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.charges == nil {
		l.charges = make(map[string]int)
	}

	l.charges[string(req.GetPayload().GetBody())]++

	return &pb.SimpleResponse{Username: "charged"}, nil
}

func (l *ledger) of(order string) int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.charges[order]
}

func order(number string) *pb.SimpleRequest {
	return &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte(number)}}
}

// lossy is a line that loses replies: the server has done its work, and the connection breaks before the reply arrives.
type lossy struct {
	mu    sync.Mutex
	calls int
	every int // one of so many replies is lost; 0: none is
	lost  int
	line  *listener
}

func (l *lossy) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)

	l.mu.Lock()
	defer l.mu.Unlock()

	l.calls++

	if l.every > 0 && l.calls%l.every == 0 {
		l.lost++
		l.line.cut()
		<-ctx.Done() // the connection has ended
	}

	return resp, err
}

// lose makes the line lose one of every so many replies.
func (l *lossy) lose(every int) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.calls, l.every = 0, every
}

// isUsed reports whether a call has come along the line.
func (l *lossy) isUsed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.calls > 0
}

func (l *lossy) losses() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.lost
}

// startLossy starts a server on a lossy line.
func startLossy(t *testing.T, s setup, handle handlerFunc) (*world, *lossy) {
	t.Helper()

	line := &lossy{}
	s.tcp, s.before = true, append(s.before, line.intercept)

	w := start(t, s, handle)
	line.line = w.listener

	return w, line
}

// report collects the reports of a client to its operators.
type report struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *report) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.text.Write(p)
}

func (r *report) option() interceptor.ClientOption {
	return interceptor.WithClientLogger(slog.New(slog.NewTextHandler(r, nil)))
}

// mustHave checks the number of lines, and that each has all of the texts.
func (r *report) mustHave(t *testing.T, lines int, texts ...string) {
	t.Helper()

	r.mu.Lock()
	defer r.mu.Unlock()

	if n := strings.Count(r.text.String(), "\n"); n != lines {
		t.Errorf("%d lines are reported, want %d: %s", n, lines, &r.text)
	}

	for _, text := range texts {
		if n := strings.Count(r.text.String(), text); n != lines {
			t.Errorf("the report does not have %q in each line: %s", text, &r.text)
		}
	}
}

const manyOrders = 40

// patiently retries for as long as a test may need.
func patiently() interceptor.ClientOption {
	return interceptor.WithRetry(retry.Policy{MaxAttempts: 10_000, BaseDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond})
}

// charge charges many orders. It returns the number of answered calls, and the errors of the others.
func charge(t *testing.T, conn grpc.ClientConnInterface) (answered int, errs []error) {
	t.Helper()

	for i := range manyOrders {
		_, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), order(strconv.Itoa(i)), grpc.WaitForReady(true))
		if err == nil {
			answered++
		} else {
			errs = append(errs, err)
		}
	}

	return answered, errs
}

// mustNotDouble checks that no order was charged twice, and that an order without an answer has an unknown outcome.
func (l *ledger) mustNotDouble(t *testing.T, errs []error) {
	t.Helper()

	for i := range manyOrders {
		if n := l.of(strconv.Itoa(i)); n > 1 {
			t.Errorf("order %d was charged %d times", i, n)
		}
	}

	for _, err := range errs {
		if onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown || interceptor.KeyOf(err) == "" {
			t.Errorf("the verdict is %v, the key %q: %v", onlyonce.VerdictOf(err), interceptor.KeyOf(err), err)
		}
	}
}
