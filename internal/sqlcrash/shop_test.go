//go:build unix

package sqlcrash

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// method is a way to take an order.
type method string

const (
	single method = "single transaction"
	joined method = "joined transaction"
)

// methods are all.
func methods() []method { return []method{single, joined} }

func methodOf(m method) string {
	if m == joined {
		return pb.TestService_CacheableUnaryCall_FullMethodName
	}

	return pb.TestService_UnaryCall_FullMethodName
}

// shop is the service of a server: it writes each order into a table. An order is a key, and its answer names the run.
type shop struct {
	pb.UnimplementedTestServiceServer

	probe             *probe
	db                *sql.DB
	dialect           sqlstore.Dialect
	outside, heedless bool
}

// order is a request. A declined order is written and then answered with a definite error, so its row is rolled back.
func order(declined bool) *pb.SimpleRequest {
	req := &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("one book")}}
	if declined {
		req.ResponseStatus = &pb.EchoStatus{Code: int32(codes.FailedPrecondition)}
	}

	return req
}

func keyOf(ctx context.Context) string {
	if keys := metadata.ValueFromIncomingContext(ctx, interceptor.KeyHeader); len(keys) > 0 {
		return keys[0]
	}

	return ""
}

// UnaryCall takes an order in its single transaction.
func (s *shop) UnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if s.outside {
		return s.take(ctx, s.db, req)
	}

	return s.take(ctx, sqlstore.Tx(ctx), req)
}

// CacheableUnaryCall takes an order in a transaction that it joins.
func (s *shop) CacheableUnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if s.heedless {
		ctx = context.WithoutCancel(ctx)
	}

	return sqlstore.InTx(ctx, s.db, nil, func(ctx context.Context, tx *sql.Tx) (*pb.SimpleResponse, error) {
		return s.take(ctx, tx, req)
	})
}

func (s *shop) take(ctx context.Context, tx sqlstore.Execer, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	run, key := rand.Text(), keyOf(ctx)

	if _, err := tx.ExecContext(ctx, marked(s.dialect, "INSERT INTO orders (name, run) VALUES (?, ?)"), key, run); err != nil {
		return nil, err
	}

	s.probe.reach(atWritten, key)

	if code := codes.Code(req.GetResponseStatus().GetCode()); code != codes.OK {
		return nil, status.Error(code, "declined by run "+run)
	}

	return &pb.SimpleResponse{Username: run}, nil
}

// recover looks for the row of a run whose outcome is unknown.
func (s *shop) recover(ctx context.Context, _ proto.Message, rec onlyonce.Record) (onlyonce.Finding, error) {
	var run string

	err := s.db.QueryRowContext(ctx, marked(s.dialect, "SELECT run FROM orders WHERE name = ?"), rec.ReadableKey).Scan(&run)

	switch {
	case errors.Is(err, sql.ErrNoRows):
		return onlyonce.DidNotHappen(), nil
	case err != nil:
		return onlyonce.StillUnknown(), fmt.Errorf("looking for the row: %w", err)
	default:
		return interceptor.FindingOf(&pb.SimpleResponse{Username: run}, nil)
	}
}

// marked numbers the placeholders of a statement where the database wants that.
func marked(dialect sqlstore.Dialect, query string) string {
	if dialect != sqlstore.PostgreSQL {
		return query
	}

	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprintf("$%d", n), 1)
	}

	return query
}
