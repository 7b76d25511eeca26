//go:build unix

package crash

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// theKey is the key of tests that need only one.
const theKey = "order-7"

// killAt makes a call with theKey, and kills its server at a point.
func (w *world) killAt(t *testing.T, p *process, at point, req *pb.SimpleRequest) Visit {
	t.Helper()

	caller := w.beginAtWith(t, p.name, p.dial(t), at, theKey, req)
	v := caller.wait(t)

	p.kill()
	caller.finish(t).mustBreak(t)

	return v
}

func TestF01KilledAfterTheClaimBeforeTheHandler(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			t.Run("AT_MOST_ONCE: unknown after the lease, and never run", func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, on)
				first := w.start(t, serverConfig{Name: "first", Policy: mortal(onlyonce.AtMostOnce)})
				second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtMostOnce)}).dial(t)

				w.killAt(t, first, atClaimed, payment())

				second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)

				if rec := w.mustBe(t, theKey, store.Running); !rec.Unknown {
					t.Error("a duplicate was told that the outcome is unknown, while the lease was alive")
				}

				second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)
				w.mustHave(t, theKey, 0, 0)
			})

			t.Run("AT_MOST_ONCE: an operator may say that nothing happened, when nothing can happen any more", func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, on)
				brief := mortal(onlyonce.AtMostOnce)
				brief.MaxRun = 2 * shortLease
				first := w.start(t, serverConfig{Name: "first", Policy: brief})
				second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtMostOnce)}).dial(t)

				w.killAt(t, first, atClaimed, payment())

				rec := w.waitUnsettled(t, theKey)

				eventually(t, "the operator's word is taken", func() bool {
					seen, err := w.operator.Lookup(t.Context(), identity(theKey))
					if err != nil {
						t.Fatalf("Lookup: %v", err)
					}

					err = w.operator.Resolve(t.Context(), seen, onlyonce.DidNotHappen())
					if err != nil && !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
						t.Fatalf("Resolve: %v", err)
					}

					return err == nil
				})

				if left := time.Until(rec.OwnerAliveUntil); left > 0 {
					t.Errorf("the operator's word was taken %v before the owner's time was over", left)
				}

				second.pay(t, theKey).mustSay(t, onlyonce.StatusExecuted)
				second.pay(t, theKey).mustSay(t, onlyonce.StatusReplayed)
				w.mustHave(t, theKey, 1, 1)
			})

			t.Run("AT_LEAST_ONCE: another process takes over after the lease", func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, on)
				first := w.start(t, serverConfig{Name: "first", Policy: mortal(onlyonce.AtLeastOnce)})
				second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtLeastOnce)}).dial(t)

				claimed := w.killAt(t, first, atClaimed, payment())
				dead := w.record(t, theKey)

				second.pay(t, theKey).mustSay(t, onlyonce.StatusExecuted)
				w.mustHave(t, theKey, 1, 1)

				for _, run := range w.seen(atHandler, theKey) {
					if run.Server != "second" || run.Fence <= claimed.Fence || run.Attempt != 2 {
						t.Errorf("the run is %+v, want attempt 2 of server second with a fence above %d", run, claimed.Fence)
					}
				}

				if rec := w.mustBe(t, theKey, store.Completed); rec.LastStart.Before(dead.LeaseUntil) {
					t.Errorf("the takeover was at %v, before the end of the lease at %v", rec.LastStart, dead.LeaseUntil)
				}
			})
		})
	}
}

func TestF03KilledInsideTheHandlerAfterTheEffect(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			for _, at := range []point{atCharged, atReturned} {
				t.Run(string(at), func(t *testing.T) {
					t.Parallel()

					w := newWorld(t, on)
					first := w.start(t, serverConfig{Name: "first", Policy: mortal(onlyonce.AtMostOnce)})
					second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtMostOnce)}).dial(t)

					w.killAt(t, first, at, payment())

					second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)

					rec := w.waitUnsettled(t, theKey)

					err := w.operator.Resolve(t.Context(), rec, onlyonce.DidNotHappen())
					if !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
						t.Errorf("resolving as not executed while the owner may be alive: %v, want %v", err, onlyonce.ErrOwnerMayBeAlive)
					}

					second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)

					// The operator asks the provider.
					resolved := answer{resp: &pb.SimpleResponse{Username: w.charged(theKey)[0] + ", found by the operator"}}
					w.resolveAsExecuted(t, rec, resolved)

					for range 2 {
						duplicate := second.pay(t, theKey)
						duplicate.mustSay(t, onlyonce.StatusReplayed)
						duplicate.mustEqual(t, resolved)
					}

					w.mustHave(t, theKey, 1, 1)
				})
			}
		})
	}
}

// resolveAsExecuted resolves a record as an operator who knows the answer.
func (w *world) resolveAsExecuted(t *testing.T, rec onlyonce.Record, a answer) {
	t.Helper()

	found, err := interceptor.FindingOf(a.resp, a.err)
	if err != nil {
		t.Fatal(err)
	}

	if err := w.operator.Resolve(t.Context(), rec, found); err != nil {
		t.Fatalf("Resolve: %v", err)
	}
}

func TestF05KilledAfterTheRecordBeforeTheReply(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			for name, req := range map[string]*pb.SimpleRequest{
				"a response":       payment(),
				"a definite error": declined(codes.FailedPrecondition),
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()

					w := newWorld(t, on)
					first := w.start(t, serverConfig{Name: "first", Policy: mortal(onlyonce.AtMostOnce)})
					second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtMostOnce)}).dial(t)

					unsent := w.killAt(t, first, atAnswer, req)
					rec := w.mustBe(t, theKey, store.Completed)

					wantHeader := map[string][]string{servedBy: {"first"}, interceptor.ReplayedHeader: {"true"}}
					wantTrailer := map[string][]string{
						receiptOf:                     {w.charged(theKey)[0]},
						interceptor.StatusTrailer:     {string(onlyonce.StatusReplayed)},
						interceptor.ReplayedHeader:    {"true"},
						interceptor.ExecutedAtTrailer: {rec.EndedAt.UTC().Format(time.RFC3339)},
					}

					if req.GetResponseStatus() != nil {
						wantHeader, wantTrailer[servedBy] = nil, wantHeader[servedBy] // an error has only trailers
					}

					for range 2 {
						retry := second.call(t.Context(), theKey, req)

						for _, name := range []string{"content-type", "grpc-status-details-bin"} { // gRPC's own
							delete(retry.header, name)
							delete(retry.trailer, name)
						}

						if got := retry.bytes(t); !bytes.Equal(got, unsent.Body) {
							t.Errorf("the retry got %q, the run made %q", got, unsent.Body)
						}

						if diff := cmp.Diff(wantHeader, map[string][]string(retry.header)); diff != "" {
							t.Errorf("header (-want +got):\n%s", diff)
						}

						if diff := cmp.Diff(wantTrailer, map[string][]string(retry.trailer)); diff != "" {
							t.Errorf("trailer (-want +got):\n%s", diff)
						}
					}

					w.mustHave(t, theKey, 1, 1)
				})
			}
		})
	}
}

// bytes is the response, or else the status.
func (a answer) bytes(t *testing.T) []byte {
	t.Helper()

	var msg proto.Message = a.resp
	if a.err != nil {
		msg = status.Convert(a.err).Proto()
	}

	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}

	return data
}
