package interceptor_test

import (
	"context"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// downstream is the domain of errors that a handler has passed on.
const downstream = "onlyonce.downstream"

// turn is a scripted server's answer to one attempt.
type turn struct {
	code      codes.Code
	status    onlyonce.Status
	reason    onlyonce.Reason
	domain    string // the contract's where it is empty
	pushback  []string
	retention []string // idempotency-retention
	retryInfo time.Duration
	takes     time.Duration
}

// scripted answers one attempt after the other, and repeats its last answer.
func scripted(turns ...turn) handlerFunc {
	var mu sync.Mutex

	return func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		mu.Lock()

		next := turns[0]
		if len(turns) > 1 {
			turns = turns[1:]
		}

		mu.Unlock()

		return next.answer(ctx)
	}
}

func (n turn) answer(ctx context.Context) (*pb.SimpleResponse, error) {
	time.Sleep(n.takes) // whatever the caller wants, so that it is the caller who notices

	trailer := metadata.MD{}
	if n.status != "" {
		trailer.Set("idempotency-status", string(n.status))
	}

	if n.pushback != nil {
		trailer.Set("grpc-retry-pushback-ms", n.pushback...)
	}

	trailer.Append(interceptor.RetentionTrailer, n.retention...)

	_ = grpc.SetTrailer(ctx, trailer)

	if n.code == codes.OK {
		return &pb.SimpleResponse{Username: "paid"}, nil
	}

	var details []protoadapt.MessageV1

	if n.reason != "" {
		domain := n.domain
		if domain == "" {
			domain = interceptor.Domain
		}

		details = append(details, &errdetails.ErrorInfo{Reason: string(n.reason), Domain: domain})
	}

	if n.retryInfo != 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(n.retryInfo)})
	}

	st, err := status.New(n.code, "scripted "+n.code.String()).WithDetails(details...)
	if err != nil {
		return nil, err
	}

	return nil, st.Err()
}

// unavailable is the answer of a protected handler that has done nothing.
func unavailable() turn { return turn{code: codes.Unavailable, status: "released"} }

func rejectedTurn(code codes.Code, reason onlyonce.Reason) turn {
	return turn{code: code, status: "rejected", reason: reason}
}

func paid() turn { return turn{status: "executed"} }

// journal is an observer of attempts.
type journal struct {
	mu       sync.Mutex
	attempts []interceptor.Attempt
}

func (j *journal) observe(_ context.Context, a interceptor.Attempt) {
	j.mu.Lock()
	defer j.mu.Unlock()

	j.attempts = append(j.attempts, a)
}

func (j *journal) option() interceptor.ClientOption {
	return interceptor.WithAttemptObserver(j.observe)
}

func (j *journal) seen() []interceptor.Attempt {
	j.mu.Lock()
	defer j.mu.Unlock()

	return append([]interceptor.Attempt(nil), j.attempts...)
}
