package interceptor_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

// mustBeKept checks the trailer with the retention of an answer; empty means no trailer.
func (a answer) mustBeKept(t *testing.T, what, seconds string) {
	t.Helper()

	var want []string
	if seconds != "" {
		want = []string{seconds}
	}

	if got := a.trailer.Get("idempotency-retention"); !slices.Equal(got, want) {
		t.Errorf("%s: idempotency-retention is %q, want %q; the answer is %v, %v", what, got, want, a.resp, a.err)
	}
}

// F87: every answer to a keyed call carries its retention, unless it is the default.
func TestF87_EveryAnswerHasItsRetentionUnlessThatIsTheDefault(t *testing.T) {
	own := map[codes.Code]time.Duration{codes.NotFound: 90*time.Second + 900*time.Millisecond}

	for name, tt := range map[string]struct {
		policy                    interceptor.Policy
		usual, anError, notFounds string
	}{
		"the default":             {},
		"the default, said aloud": {policy: interceptor.Policy{Policy: onlyonce.Policy{Retention: 24 * time.Hour}}},
		"a longer retention": {
			policy: interceptor.Policy{Policy: onlyonce.Policy{Retention: 48 * time.Hour}},
			usual:  "172800", anError: "172800", notFounds: "172800",
		},
		"a shorter one, and a code of its own": {
			policy: interceptor.Policy{Policy: onlyonce.Policy{Retention: time.Hour + time.Millisecond}, Retentions: own},
			usual:  "3600", anError: "3600", notFounds: "90",
		},
		"errors of their own": {
			policy:  interceptor.Policy{Policy: onlyonce.Policy{ErrorRetention: time.Minute}, Retentions: own},
			anError: "60", notFounds: "90",
		},
		"errors that are kept for the default": {
			policy: interceptor.Policy{Policy: onlyonce.Policy{Retention: 48 * time.Hour, ErrorRetention: 24 * time.Hour}, Retentions: own},
			usual:  "172800", anError: "86400", notFounds: "90",
		},
	} {
		for mode, made := range map[string]setup{
			"leased": {}, "single": {store: txstore.New()}, "joined": {store: txstore.New()},
		} {
			t.Run(name+", "+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := tt.policy
					if mode != "leased" {
						p.Guarantee, p.TransactionMode = onlyonce.ExactlyOnce, onlyonce.SingleTransaction
					}

					if mode == "joined" {
						p.TransactionMode = onlyonce.JoinedTransaction
					}

					p.MaxWait, p.Key = onlyonce.NoWait, interceptor.KeyRequired
					made.server = keyPolicy(p)

					w := start(t, made, nil)

					for key, answers := range map[string]struct {
						handle handlerFunc
						kept   string
					}{
						"ok":        {answering("paid"), tt.usual},
						"error":     {failing(status.Error(codes.FailedPrecondition, "no")), tt.anError},
						"not-found": {failing(status.Error(codes.NotFound, "no")), tt.notFounds},
						"final":     {failing(onlyonce.Final(status.Error(codes.NotFound, "paid"))), tt.usual},
						"released":  {failing(onlyonce.NotExecuted(status.Error(codes.NotFound, "no"))), tt.usual},
						"unknown":   {failing(status.Error(codes.Internal, "charged?")), tt.usual},
					} {
						w.handle = answers.handle

						for range 2 {
							w.pay(t, key).mustBeKept(t, key, answers.kept)
						}
					}

					w.call(withKey(t.Context(), "ok"), otherPayment()).mustBeKept(t, "KEY_REUSED", tt.usual)
					w.call(withKey(t.Context(), "two words"), payment()).mustBeKept(t, "KEY_INVALID", tt.usual)
					w.call(t.Context(), payment()).mustBeKept(t, "KEY_MISSING", tt.usual)

					w.handle = after(time.Second, answering("late"))
					running := w.payInBackground(t)

					synctest.Wait()
					w.pay(t, "key").mustBeKept(t, "IN_PROGRESS", tt.usual)
					(<-running).mustBeKept(t, "a run with duplicates", tt.usual)
				})
			})
		}
	}
}

// F87: the record of an error that is too large to keep has the retention of that error.
func TestF87_DuplicatesOfAnErrorThatIsTooLargeGetItsRetention(t *testing.T) {
	for end, want := range map[error]string{
		status.Error(codes.NotFound, "nobody"):                 "60",
		onlyonce.Final(status.Error(codes.NotFound, "nobody")): "",
	} {
		w := start(t, setup{server: policy(onlyonce.Policy{MaxOutcome: 5, ErrorRetention: time.Minute})}, failing(end))
		w.pay(t, "key").mustBeKept(t, "the first answer", want)

		duplicate := w.pay(t, "key")
		duplicate.mustBe(t, outcomeNotStored)
		duplicate.mustBeKept(t, "the duplicate", want)
	}
}

// F87: a stream is refused as other keyed calls are.
func TestF87_RefusedStreamHasTheRetentionOfItsMethod(t *testing.T) {
	for retention, want := range map[time.Duration]string{0: "", time.Hour: "3600"} {
		w := start(t, setup{server: policy(onlyonce.Policy{Retention: retention})}, nil)

		stream, err := pb.NewTestServiceClient(w.conn).FullDuplexCall(withKey(t.Context(), "key"))
		if err != nil {
			t.Fatal(err)
		}

		_, err = stream.Recv()
		refused := answer{err: err, trailer: stream.Trailer()}
		refused.mustBe(t, notSupported)
		refused.mustBeKept(t, "the refusal", want)
	}
}

func TestF87_RetentionComesFromThisServerAlone(t *testing.T) {
	passOn := func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("idempotency-retention", "7", "x-mine", "kept"))

		return &pb.SimpleResponse{}, nil
	}

	for retention, want := range map[time.Duration]string{0: "", time.Hour: "3600"} {
		w := start(t, setup{server: policy(onlyonce.Policy{Retention: retention})}, passOn)

		for _, what := range []string{"the first answer", "the replay"} {
			w.pay(t, "key").mustBeKept(t, what, want)
		}

		w.call(t.Context(), payment()).mustBeKept(t, "a call without a key", "7") // it is not ours
	}
}

// F87: errors of one code are kept for a minute, as "not found yet" should be. Others are kept as answers are.
func TestF87_ErrorOfACodeIsKeptForItsOwnRetentionAndRunsAgainAfterwards(t *testing.T) {
	for name, made := range map[string]setup{
		"Go option": {server: keyPolicy(interceptor.Policy{Retentions: map[codes.Code]time.Duration{codes.NotFound: time.Minute}})},
		"class": {server: keyPolicy(interceptor.Policy{
			Classes:    map[codes.Code]onlyonce.Class{codes.Internal: onlyonce.ClassDefinite},
			Retentions: map[codes.Code]time.Duration{codes.Internal: time.Hour, codes.NotFound: time.Minute},
		})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, made, failing(status.Error(codes.NotFound, "not yet")))
				w.pay(t, "key").mustFail(t, codes.NotFound, "not yet")

				w.handle = failing(status.Error(codes.PermissionDenied, "no"))
				w.pay(t, "another").mustFail(t, codes.PermissionDenied, "no")

				w.handle = answering("found")

				time.Sleep(time.Minute - time.Millisecond)
				w.pay(t, "key").mustFail(t, codes.NotFound, "not yet")
				time.Sleep(time.Millisecond)
				w.pay(t, "key").mustAnswer(t, "found")

				time.Sleep(23 * time.Hour)
				w.pay(t, "key").mustAnswer(t, "found")
				w.pay(t, "another").mustFail(t, codes.PermissionDenied, "no")
				w.mustHaveRun(t, 3)
			})
		})
	}
}

func TestF87_ProtoGivesErrorsRetentionsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, service := declaration{method: method("error_retention { seconds: 3600 } " +
			"classes { code: 5 class: OUTCOME_CLASS_DEFINITE retention { seconds: 60 } }")}.register(t)

		var end error

		b := &declaredBank{service: service, pay: "/" + string(service.FullName()) + "/Pay"}
		b.world = start(t, setup{register: func(server *grpc.Server) {
			serveDeclared(server, service, func(context.Context, *dynamicpb.Message, *dynamicpb.Message) error {
				b.runs.Add(1)

				return end
			})
		}}, nil)

		for code, kept := range map[codes.Code]struct {
			seconds string
			life    time.Duration
		}{codes.NotFound: {"60", time.Minute}, codes.PermissionDenied: {"3600", time.Hour}} {
			b.runs.Store(0)

			end = status.Error(code, "no")
			pay := func() answer {
				_, a := b.call(withKey(t.Context(), code.String()), b.conn)
				a.mustBeKept(t, code.String(), kept.seconds)

				return a
			}

			pay().mustHaveStatus(t, onlyonce.StatusExecuted)
			time.Sleep(kept.life - time.Millisecond)
			pay().mustHaveStatus(t, onlyonce.StatusReplayed)
			time.Sleep(time.Millisecond)
			pay().mustHaveStatus(t, onlyonce.StatusExecuted)
			b.mustHaveRun(t, 2)
		}
	})
}

// A time-ordered key promises that it never runs again.
func TestF63_TimeOrderedMethodsRefuseRetentionsOfErrorsUnderWhichAKeyCouldRunAgain(t *testing.T) {
	ordered := &onlyonce.KeyRules{TimeOrdered: true}

	for name, tt := range map[string]struct {
		policy interceptor.Policy
		named  []string // empty where it holds
	}{
		"all errors": {
			interceptor.Policy{KeyRules: ordered, Policy: onlyonce.Policy{ErrorRetention: time.Minute}},
			[]string{"ErrorRetention is 1m0s", "KeyLife, which is 24h0m0s"},
		},
		"errors of a code": {
			interceptor.Policy{KeyRules: ordered, Retentions: map[codes.Code]time.Duration{codes.NotFound: time.Minute}},
			[]string{"Retentions of NOT_FOUND is 1m0s", "KeyLife, which is 24h0m0s"},
		},
		"a shorter key life": {
			interceptor.Policy{
				KeyRules: ordered, Policy: onlyonce.Policy{ErrorRetention: time.Hour, KeyLife: time.Minute},
				Retentions: map[codes.Code]time.Duration{codes.NotFound: time.Minute},
			}, nil,
		},
		"other keys": {interceptor.Policy{Policy: onlyonce.Policy{ErrorRetention: time.Minute}}, nil},
	} {
		_, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), interceptor.WithMethodPolicy(unaryCall, tt.policy))
		if tt.named == nil {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}

			continue
		}

		mustName(t, err, append(tt.named, unaryCall, "could run again")...)
	}

	_, service := declaration{method: method("key_form: KEY_FORM_TIME_ORDERED error_retention { seconds: 60 }")}.register(t)
	mustName(t, validate(servicesOf(service), engine(t)), "ErrorRetention is 1m0s", "could run again")
}
