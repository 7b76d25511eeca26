package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
	"github.com/onlyonce-go/onlyonce/store"
)

// damaged are all the ways in which one byte of a record can be lost or turned.
func damaged(length int) map[string]func([]byte) []byte {
	ways := make(map[string]func([]byte) []byte)

	for i := range length {
		ways[fmt.Sprintf("cut at %d", i)] = func(data []byte) []byte { return data[:i] }
		ways[fmt.Sprintf("byte %d turned", i)] = func(data []byte) []byte {
			data[i] ^= 0x41

			return data
		}
	}

	ways["grown"] = func(data []byte) []byte { return append(data, 0) }

	return ways
}

func TestF36_DamagedRecordIsNeverRunAgain(t *testing.T) {
	handlers := map[string]handlerFunc{
		"response": rich(answering("paid")),
		"error":    rich(failing(status.Error(codes.NotFound, "nobody"))),
	}

	for name, handle := range handlers {
		t.Run(name, func(t *testing.T) {
			var damage func([]byte) []byte

			length := 0
			faults := newFaultStore().damaging(func(data []byte) []byte {
				length = len(data)
				if damage != nil {
					return damage(data)
				}

				return data
			})
			w := start(t, setup{store: faults}, handle)

			w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusExecuted)
			w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusReplayed)

			for name, way := range damaged(length) {
				damage = way

				if a := w.pay(t, "key"); status.Code(a.err) != codes.DataLoss {
					t.Errorf("%s: the answer is %v, %v", name, a.resp, a.err)
				} else {
					a.mustBe(t, recordUnreadable)
				}
			}

			damage = nil
			w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusReplayed)
			w.mustHaveRun(t, 1)
		})
	}
}

func TestF36_RecordsSwappedBetweenKeys(t *testing.T) {
	var ofAnn []byte

	faults := newFaultStore().damaging(func(data []byte) []byte {
		if ofAnn == nil {
			ofAnn = data
		}

		return ofAnn
	})
	w := start(t, setup{store: faults}, nil)

	w.pay(t, "Ann").mustAnswer(t, "run 1")
	w.pay(t, "Bob").mustAnswer(t, "run 2")
	w.pay(t, "Ann").mustAnswer(t, "run 1")
	w.pay(t, "Bob").mustBe(t, recordUnreadable)
	w.mustHaveRun(t, 2)
}

func TestF36_UnreadableRecordInTheStore(t *testing.T) {
	w := start(t, setup{store: newFaultStore().refusing(fmt.Errorf("row 7: %w", store.ErrUnreadable))}, nil)

	w.pay(t, "key").mustBe(t, recordUnreadable)
	w.mustHaveRun(t, 0)
}

// resolved makes a world whose key is resolved by a finding.
func resolved(t *testing.T, found onlyonce.Finding) *world {
	t.Helper()

	w := start(t, setup{}, failing(status.Error(codes.Internal, "oops")))
	w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnknown)
	resolve(t, w, found)

	return w
}

// resolve settles the key by a finding.
func resolve(t *testing.T, w *world, found onlyonce.Finding) {
	t.Helper()

	id := onlyonce.Identity{Scope: "shared", Method: unaryCall, Key: "key"}

	rec, err := w.engine.Lookup(t.Context(), id)
	if err != nil {
		t.Fatalf("Lookup: %v", err)
	}

	if err := w.engine.Resolve(t.Context(), rec, found); err != nil {
		t.Fatalf("Resolve: %v", err)
	}
}

func headerNamed(name string) *onlyoncev1.Outcome {
	return &onlyoncev1.Outcome{Header: []*onlyoncev1.Metadata{{Name: name, Value: []byte("1")}}}
}

func trailerNamed(name string) *onlyoncev1.Outcome {
	return &onlyoncev1.Outcome{Trailer: []*onlyoncev1.Metadata{{Name: name, Value: []byte("1")}}}
}

func TestF36_PoisonedBodies(t *testing.T) {
	encoded := func(m proto.Message) []byte {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}

		return data
	}

	bodies := map[string][]byte{
		"no protobuf at all":            []byte("\xff\xff\xff\xff"),
		"text":                          []byte("hello"),
		"cut":                           {0x12, 0x7f, 1, 2},
		"a length beyond all":           {0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"a response that is none":       encoded(&onlyoncev1.Outcome{Response: []byte("\xff\xff")}),
		"a status that is none":         encoded(&onlyoncev1.Outcome{Status: []byte("\xff\xff")}),
		"a status that says OK":         encoded(&onlyoncev1.Outcome{Status: encoded(&spb.Status{Message: "fine"})}),
		"metadata that is none":         {0x1a, 2, 0xff, 0xff},
		"metadata without a name":       encoded(headerNamed("")),
		"metadata with an evil name":    encoded(trailerNamed("x\r\ny")),
		"metadata with an upper case":   encoded(headerNamed("X-Upper")),
		"metadata of the contract":      encoded(trailerNamed("idempotency-status")),
		"metadata of gRPC":              encoded(trailerNamed("grpc-retry-pushback-ms")),
		"metadata that is a pseudo one": encoded(headerNamed(":status")),
	}

	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			w := resolved(t, onlyonce.Happened("OK", body))
			w.pay(t, "key").mustBe(t, recordUnreadable)
			w.mustHaveRun(t, 1)
			w.pay(t, "another") // the connection lives
			w.mustHaveRun(t, 2)
		})
	}
}

// found is the finding that a call has ended with an answer.
func found(t *testing.T, resp proto.Message, err error) onlyonce.Finding {
	t.Helper()

	found, problem := interceptor.FindingOf(resp, err)
	if problem != nil {
		t.Fatalf("FindingOf: %v", problem)
	}

	return found
}

// mustHaveCode checks the code in the record of the key.
func (w *world) mustHaveCode(t *testing.T, want string) {
	t.Helper()

	if rec := w.record(t.Context(), t); rec.Code != want {
		t.Errorf("the code of the record is %q, want %q", rec.Code, want)
	}
}

func TestResolvedOutcomeIsReplayed(t *testing.T) {
	t.Run("response", func(t *testing.T) {
		w := resolved(t, found(t, &pb.SimpleResponse{Username: "paid after all"}, nil))
		w.mustHaveCode(t, "OK")

		a := w.pay(t, "key")
		a.mustBeReplayOf(t, answer{resp: &pb.SimpleResponse{Username: "paid after all"}}, executedAt(t, w))
		w.mustHaveRun(t, 1)
	})

	t.Run("empty response", func(t *testing.T) {
		w := resolved(t, found(t, &pb.SimpleResponse{}, nil))
		w.mustHaveCode(t, "OK")
		w.pay(t, "key").mustBeReplayOf(t, answer{resp: &pb.SimpleResponse{}}, executedAt(t, w))
	})

	t.Run("error", func(t *testing.T) {
		w := resolved(t, found(t, nil, unseen(codes.FailedPrecondition)))
		w.mustHaveCode(t, "FAILED_PRECONDITION")

		details, _ := proto.Marshal(status.Convert(unseen(codes.FailedPrecondition)).Proto())
		w.pay(t, "key").mustBeReplayOf(t, answer{
			err: unseen(codes.FailedPrecondition), trailer: metadata.MD{"grpc-status-details-bin": {string(details)}},
		}, executedAt(t, w))
	})
}

func TestFindingOfRefusesWhatIsNoAnswer(t *testing.T) {
	tests := map[string]struct {
		resp proto.Message
		err  error
	}{
		"neither":                     {},
		"an error that says OK":       {err: fine{}},
		"a response that is no UTF-8": {resp: &pb.SimpleResponse{Username: "\xff"}},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := interceptor.FindingOf(test.resp, test.err)
			if err == nil || !reflect.DeepEqual(got, onlyonce.StillUnknown()) {
				t.Errorf("FindingOf = %v, %v", got, err)
			}
		})
	}

	resolved(t, found(t, nil, errors.New("boom"))).mustHaveCode(t, "UNKNOWN")
}

func TestF59_LateOwnerAnswersWhatWasResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := newFaultStore()
		w := start(t, setup{store: faults}, rich(answering("late")))

		byHand := found(t, nil, status.Error(codes.NotFound, "resolved by hand"))

		faults.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
			id := onlyonce.Identity{Scope: "shared", Method: unaryCall, Key: "key"}
			lookedUp, _ := w.engine.Lookup(ctx, id)

			// Between the run and its completion the record is held and resolved.
			if _, err := faults.Store.Hold(ctx, store.Hold{Key: op.Key, Token: op.Token}); err != nil {
				t.Error(err)
			}

			if err := w.engine.Resolve(ctx, lookedUp, byHand); err != nil {
				t.Error(err)
			}

			return faults.Store.Complete(ctx, op)
		}

		for range 2 {
			a := w.pay(t, "key")
			a.mustFail(t, codes.NotFound, "resolved by hand")
			a.mustHaveStatus(t, onlyonce.StatusReplayed)

			if own := ownMetadata(a.trailer); len(own) != 0 || a.headerFrame {
				t.Errorf("metadata of the run that does not count got through: %v", own)
			}
		}

		w.mustHaveRun(t, 1)
	})
}
