package interceptor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

// An error that may have an effect behind it is kept as long as an answer. After a shorter retention, the effect would
// happen again.

func TestF87_ErrorThatIsMarkedFinalIsKeptAsLongAsAnAnswer(t *testing.T) {
	for name, short := range map[string]interceptor.Policy{
		"all errors":       {Policy: onlyonce.Policy{ErrorRetention: time.Minute}},
		"errors of a code": {Retentions: map[codes.Code]time.Duration{codes.Internal: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const text = "charged, and the receipt could not be printed"

				w := start(t, setup{server: keyPolicy(short)}, failing(onlyonce.Final(status.Error(codes.Internal, text))))
				w.pay(t, "key").mustBeKept(t, "the first answer", "")
				time.Sleep(24*time.Hour - time.Millisecond)

				replay := w.pay(t, "key")
				replay.mustFail(t, codes.Internal, text)
				replay.mustBeKept(t, "the replay", "")
				w.mustHaveRun(t, 1)
			})
		})
	}
}

func TestF87_ErrorThatKeepsItsWritesIsKeptAsLongAsAnAnswer(t *testing.T) {
	for _, mode := range []onlyonce.TransactionMode{onlyonce.SingleTransaction, onlyonce.JoinedTransaction} {
		synctest.Test(t, func(t *testing.T) {
			short := onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: mode, ErrorRetention: time.Minute}
			w := start(t, setup{store: txstore.New(), server: keyPolicy(interceptor.Policy{Policy: short, Key: interceptor.KeyRequired})},
				failing(onlyonce.KeepWrites(status.Error(codes.PermissionDenied, "wrong PIN"))))

			w.pay(t, "key").mustBeKept(t, "the first answer", "")
			time.Sleep(2 * time.Minute)
			w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusReplayed)
			w.mustHaveRun(t, 1)
		})
	}
}

func TestF87_ErrorOfARunAfterAnUnknownOneIsKeptAsLongAsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, ErrorRetention: time.Minute})}, nil)
		w.handle = func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			if w.runs.Load() == 1 {
				return nil, status.Error(codes.Internal, "charged, then lost the connection")
			}

			return nil, status.Error(codes.AlreadyExists, "this charge exists")
		}

		w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnknown)

		second := w.pay(t, "key")
		second.mustHaveStatus(t, onlyonce.StatusExecuted)
		second.mustBeKept(t, "the second run", "")

		time.Sleep(24*time.Hour - time.Millisecond)
		w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusReplayed)
		w.mustHaveRun(t, 2)
	})
}
