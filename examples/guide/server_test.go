package guide

import (
	"context"
	"database/sql"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite" // registers the driver

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// paid is a service whose handlers wait until the test lets them go on.
type paid struct {
	paymentsv1.UnimplementedPaymentServiceServer

	begun, goOn chan struct{}
	count       int
}

func (p *paid) Pay(context.Context, *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	p.begun <- struct{}{}

	<-p.goOn

	p.count++

	return &paymentsv1.PayResponse{}, nil
}

func (*paid) Recover(context.Context, proto.Message, onlyonce.Record) (onlyonce.Finding, error) {
	return onlyonce.StillUnknown(), nil
}

func TestServerThatStopsEndsItsRunsAndKeepsTheirAnswers(t *testing.T) {
	t.Parallel()

	file := "file:" + filepath.Join(t.TempDir(), "p.db") + "?_pragma=busy_timeout(5)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"

	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	service := &paid{begun: make(chan struct{}, 1), goOn: make(chan struct{})}

	// The first server is stopped in mid-call. The second one replays the answer of the first.
	for i, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)

		go func() {
			ended <- Serve(ctx, listener, db, sqlstore.SQLite, interceptor.ScopeShared(), service)
		}()

		conn, err := Dial(listener.Addr().String(), insecure.NewCredentials())
		if err != nil {
			t.Fatal(err)
		}

		answered := make(chan []string, 1)

		go func() {
			var trailer metadata.MD

			_, err := paymentsv1.NewPaymentServiceClient(conn).Pay(t.Context(), &paymentsv1.PayRequest{OrderId: "7"},
				interceptor.WithKey("order-7"), grpc.Trailer(&trailer), grpc.WaitForReady(true))
			if err != nil {
				t.Error(err)
			}

			answered <- trailer.Get(interceptor.StatusTrailer)
		}()

		if i == 0 {
			<-service.begun
			stop()
			close(service.goOn)
		}

		if got := <-answered; len(got) != 1 || got[0] != string(want) {
			t.Errorf("the call of server %d is %q, want %s", i, got, want)
		}

		stop()

		if err := <-ended; err != nil {
			t.Error(err)
		}

		conn.Close()
	}

	if service.count != 1 {
		t.Errorf("paid %d times", service.count)
	}
}
