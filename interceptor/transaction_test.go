package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

func exactly(transaction onlyonce.TransactionMode) setup {
	return setup{store: txstore.New(), server: policy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: transaction})}
}

func TestF50_HandlerThatIsRunAgainGetsTheRequestAsItWasReceived(t *testing.T) {
	var seen []string

	w := start(t, exactly(onlyonce.SingleTransaction), func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		seen = append(seen, string(req.GetPayload().GetBody()))
		req.Payload.Body[0] = 'X'
		req.Payload = nil

		_ = grpc.SetHeader(ctx, metadata.Pairs("x-run", string(rune('0'+len(seen)))))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-end", string(rune('0'+len(seen)))))

		if len(seen) < 3 {
			return nil, txstore.ErrConflict
		}

		return &pb.SimpleResponse{Username: "paid"}, nil
	})

	first := w.pay(t, "key")
	first.mustAnswer(t, "paid")
	first.mustHaveStatus(t, onlyonce.StatusExecuted)

	if len(seen) != 3 || seen[0] != "10 EUR to Ann" || seen[1] != seen[0] || seen[2] != seen[0] {
		t.Errorf("the handler saw %q", seen)
	}

	if run, end := first.header.Get("x-run"), first.trailer.Get("x-end"); len(run) != 1 || run[0] != "3" || len(end) != 1 || end[0] != "3" {
		t.Errorf("the header says %q and the trailer %q: that of runs which were rolled back does not count", run, end)
	}

	w.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, w))
}

func TestHeaderOfARunThatWasRolledBackCannotBeCalledBack(t *testing.T) {
	runs := 0
	w := start(t, exactly(onlyonce.SingleTransaction), func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		runs++

		if err := grpc.SendHeader(ctx, metadata.Pairs("x-run", string(rune('0'+runs)))); err != nil {
			t.Error(err)
		}

		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-end", string(rune('0'+runs))))

		if runs == 1 {
			return nil, txstore.ErrConflict
		}

		return &pb.SimpleResponse{Username: "paid"}, nil
	})

	first := w.pay(t, "key")
	first.mustAnswer(t, "paid")

	if run, end := first.header.Get("x-run"), first.trailer.Get("x-end"); len(run) != 1 || run[0] != "1" || len(end) != 1 || end[0] != "2" {
		t.Errorf("the header says %q and the trailer %q", run, end)
	}
}

// joining is a handler that commits its answer itself, and then returns another.
func joining(t *testing.T, db *txstore.Store, committed *pb.SimpleResponse, answer, returned error) handlerFunc {
	t.Helper()

	return func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x", "1"))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("y", "2"))

		tx := db.Open()

		if err := tx.Join(ctx, committed, answer); err != nil {
			t.Error(err)
		}

		if err := tx.Commit(ctx); err != nil {
			t.Error(err)
		}

		return committed, returned
	}
}

func TestCallerOfAJoinedRunGetsWhatItsHandlerHasCommitted(t *testing.T) {
	no := status.Error(codes.FailedPrecondition, "no")

	for name, tt := range map[string]struct {
		committed        *pb.SimpleResponse
		answer, returned error
	}{
		"a response":                    {&pb.SimpleResponse{Username: "paid"}, nil, nil},
		"an error":                      {nil, no, no},
		"a response, and then an error": {&pb.SimpleResponse{Username: "paid"}, nil, status.Error(codes.Internal, "after the commit")},
	} {
		t.Run(name, func(t *testing.T) {
			s := exactly(onlyonce.JoinedTransaction)
			db, _ := s.store.(*txstore.Store)
			w := start(t, s, joining(t, db, tt.committed, tt.answer, tt.returned))

			first := w.pay(t, "key")
			first.mustHaveStatus(t, onlyonce.StatusExecuted)

			if tt.answer != nil {
				first.mustFail(t, codes.FailedPrecondition, "no")
			} else {
				first.mustAnswer(t, "paid")
			}

			if x, y := first.header.Get("x"), first.trailer.Get("y"); tt.answer == nil && len(x) != 1 || len(y) != 1 {
				t.Errorf("the header says %q and the trailer %q", x, y)
			}

			w.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, w))
			w.mustHaveRun(t, 1)
		})
	}
}

// Metadata that is never recorded belongs to the first call alone, and reaches its caller in every mode.
func TestCallerOfARunInATransactionGetsMetadataThatIsNotRecorded(t *testing.T) {
	for name, option := range map[string]interceptor.ServerOption{
		"unrecorded": interceptor.WithUnrecordedMetadata("x-request-id"), "allow-list": interceptor.WithRecordedMetadata("x-kept"),
	} {
		for _, mode := range []onlyonce.TransactionMode{onlyonce.SingleTransaction, onlyonce.JoinedTransaction} {
			t.Run(fmt.Sprintf("%s, %v", name, mode), func(t *testing.T) {
				s := exactly(mode)
				s.server = append(s.server, option)
				db, _ := s.store.(*txstore.Store)

				w := start(t, s, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-id", "7", "x-kept", "yes"))
					_ = grpc.SetTrailer(ctx, metadata.Pairs("x-request-id", "7", "set-cookie", "c", "x-kept", "yes"))
					resp := &pb.SimpleResponse{Username: "paid"}

					if mode == onlyonce.SingleTransaction {
						return resp, nil
					}

					tx := db.Open()

					return resp, errors.Join(tx.Join(ctx, resp, nil), tx.Commit(ctx))
				})

				first, replay := w.pay(t, "key"), w.pay(t, "key")
				for _, got := range []struct {
					md      metadata.MD
					request string
				}{{first.header, "[7]"}, {first.trailer, "[7]"}, {replay.header, "[]"}, {replay.trailer, "[]"}} {
					request, kept := fmt.Sprint(got.md.Get("x-request-id")), fmt.Sprint(got.md.Get("x-kept"))
					if request != got.request || kept != "[yes]" {
						t.Errorf("x-request-id is %s, want %s; x-kept is %s, want [yes]", request, got.request, kept)
					}
				}

				first.mustAnswer(t, "paid")
				replay.mustHaveStatus(t, onlyonce.StatusReplayed)

				if cookies := first.trailer.Get("set-cookie"); len(cookies) != 1 || len(replay.trailer.Get("set-cookie")) != 0 {
					t.Errorf("set-cookie is %q at first, and %q in the replay", cookies, replay.trailer.Get("set-cookie"))
				}
			})
		}
	}
}

func TestTransactionOfAMethodIsTakenFromItsProto(t *testing.T) {
	for said, begun := range map[string]int{
		"": 1, "transaction: TRANSACTION_SINGLE": 1, "transaction: TRANSACTION_JOINED": 0,
	} {
		t.Run(said, func(t *testing.T) {
			db := txstore.New()
			b := startDeclared(t, declaration{method: "[onlyonce.v1.method] { guarantee: GUARANTEE_EXACTLY_ONCE " + said + " }", store: db})

			_, a := b.call(withKey(t.Context(), "key"), b.conn)
			a.mustHaveStatus(t, onlyonce.StatusExecuted)

			if n := db.Begun(); n != begun {
				t.Errorf("%d transactions were begun for the handler, want %d", n, begun)
			}
		})
	}
}

func TestMethodWithASingleTransactionHasToRequireAKey(t *testing.T) {
	for said, complains := range map[string]bool{
		"": true, "key: KEY_USE_REQUIRED": false, "transaction: TRANSACTION_JOINED": false,
	} {
		t.Run(said, func(t *testing.T) {
			_, service := declaration{method: "[onlyonce.v1.method] { guarantee: GUARANTEE_EXACTLY_ONCE " + said + " }"}.register(t)

			e, err := onlyonce.New(txstore.New())
			if err != nil {
				t.Fatal(err)
			}

			err = validate(servicesOf(service), e)
			if complains {
				mustName(t, err, "/Pay", "without a key", "KEY_USE_REQUIRED", "KeyRequired")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
