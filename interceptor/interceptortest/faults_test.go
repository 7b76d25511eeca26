package interceptortest_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/interceptor/interceptortest"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

var update = flag.Bool("update", false, "write the tables in testdata")

// bank is a service that moves money.
type bank struct {
	pb.UnimplementedTestServiceServer

	moved atomic.Int64
	// inTransaction moves the money when the transaction of the run commits.
	inTransaction bool
}

func (b *bank) UnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if b.inTransaction {
		txstore.Write(ctx, func() { b.moved.Add(1) })
	} else {
		b.moved.Add(1)
	}

	return &pb.SimpleResponse{Username: "paid"}, nil
}

// subject is the method under a policy.
func (b *bank) subject(p interceptor.Policy) interceptortest.Subject {
	return interceptortest.Subject{
		NewServer: func(around interceptortest.Around) (*grpc.Server, error) {
			engine, err := onlyonce.New(around.Store, onlyonce.WithObserver(nil))
			if err != nil {
				return nil, err
			}

			protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(), interceptor.WithPolicy(p))
			if err != nil {
				return nil, err
			}

			server := grpc.NewServer(grpc.ChainUnaryInterceptor(around.First, protect.Unary, around.Last))
			pb.RegisterTestServiceServer(server, b)

			return server, nil
		},
		Method: pb.TestService_UnaryCall_FullMethodName, Request: new(pb.SimpleRequest), Response: new(pb.SimpleResponse),
		Effects: func() int { return int(b.moved.Load()) },
	}
}

func guarantee(g onlyonce.Guarantee) interceptor.Policy {
	return interceptor.Policy{Policy: onlyonce.Policy{Guarantee: g}}
}

func mustBeGolden(t *testing.T, name string, table interceptortest.FaultTable) {
	t.Helper()

	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if got := table.String(); got != string(want) {
		t.Errorf("the table is not that of %s; run the test with -update and look at what has changed:\n%s", path, got)
	}
}

func TestNoMoneyIsLostUnderAtMostOnce(t *testing.T) {
	table := interceptortest.Faults(t, new(bank).subject(guarantee(onlyonce.AtMostOnce)))
	mustBeGolden(t, "at_most_once", table)

	if lost := table.Lost(); len(lost) > 0 {
		t.Errorf("money is lost:\n%v", lost)
	}
}

func TestMoneyMovesTwiceUnderAtLeastOnceIfTheHandlerIsNotIdempotent(t *testing.T) {
	table := interceptortest.Faults(t, new(bank).subject(guarantee(onlyonce.AtLeastOnce)))
	mustBeGolden(t, "at_least_once", table)

	if len(table.Lost()) == 0 {
		t.Error("no money is lost, although every run moves some")
	}
}

func TestNoMoneyIsLostUnderExactlyOnce(t *testing.T) {
	subject := (&bank{inTransaction: true}).subject(guarantee(onlyonce.ExactlyOnce))
	subject.NewStore = func() store.Store { return txstore.New() }

	table := interceptortest.Faults(t, subject)
	mustBeGolden(t, "exactly_once", table)

	if lost := table.Lost(); len(lost) > 0 {
		t.Errorf("money is lost:\n%v", lost)
	}
}

func TestFaultsShowsAMethodThatIsNotProtected(t *testing.T) {
	table := interceptortest.Faults(t, new(bank).subject(interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}}))

	for _, row := range table[:4] {
		if row.Risk != interceptortest.RiskDoubled {
			t.Errorf("%s: %s", row.Fault, row.Risk)
		}
	}
}

func TestFaultsShowsACodeThatIsDefiniteAndShouldNotBe(t *testing.T) {
	policy := guarantee(onlyonce.AtMostOnce)
	policy.Classes = map[codes.Code]onlyonce.Class{codes.Internal: onlyonce.ClassDefinite}

	subject := new(bank).subject(policy)
	subject.Codes = []codes.Code{codes.Internal, codes.NotFound}

	lost := interceptortest.Faults(t, subject).Lost()
	if len(lost) != 1 || lost[0].Risk != interceptortest.RiskDenied {
		t.Errorf("%v; want the row of INTERNAL alone", lost)
	}
}

func TestFaultsShowsAWrongNotExecuted(t *testing.T) {
	b := new(bank)
	subject := b.subject(guarantee(onlyonce.AtMostOnce))
	newServer := subject.NewServer
	subject.Codes = []codes.Code{codes.Unavailable}
	subject.NewServer = func(around interceptortest.Around) (*grpc.Server, error) {
		inner := around.Last
		around.Last = func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			resp, err := inner(ctx, req, info, handler)
			if status.Code(err) == codes.Unavailable {
				err = onlyonce.NotExecuted(err)
			}

			return resp, err
		}

		return newServer(around)
	}

	lost := interceptortest.Faults(t, subject).Lost()
	if len(lost) != 1 || lost[0].Risk != interceptortest.RiskDoubled {
		t.Errorf("%v; want the row of UNAVAILABLE alone", lost)
	}
}
