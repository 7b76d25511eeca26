package onceconnect_test

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/journal"
)

func openJournal(t *testing.T) *journal.Journal {
	t.Helper()

	j := must(journal.Open(filepath.Join(t.TempDir(), "calls")))(t)
	t.Cleanup(func() { _ = j.Close() })

	return j
}

func TestResumeFinishesTheCallsOfTheJournal(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w, j := newWorld(t, setup{}), openJournal(t)
			by := &lossy{Client: httpClient(t, true)}
			by.lost.Store(10)

			once := must(onceconnect.NewClient(soon(), interceptor.WithJournal(j)))(t)
			opts = append(opts, connect.WithInterceptors(once))
			lost := dialBy(by, w.url, opts...).payKeyed(t.Context(), "")

			if lost.err == nil || w.runs.Load() != 1 {
				t.Fatalf("%v, %d runs", lost.err, w.runs.Load())
			}

			dialBy(httpClient(t, true), w.url, opts...).payKeyed(t.Context(), "done") // is removed

			var answers []journal.Answer

			to := onceconnect.Destination{HTTPClient: httpClient(t, true), BaseURL: w.url + "/", Options: opts}
			summary, err := onceconnect.Resume(t.Context(), j, to, journal.OnAnswer(payMethod, func(_ context.Context, a journal.Answer) error {
				answers = append(answers, a)

				return nil
			}))

			if err != nil || len(answers) != 1 || answers[0].Entry.Key != interceptor.KeyOf(lost.err) || w.runs.Load() != 2 {
				t.Fatalf("%+v, %v, %+v, %d runs", summary, err, answers, w.runs.Load())
			}

			got, ok := answers[0].Response.(*shopv1.PayResponse)
			if !ok || !proto.Equal(got, &shopv1.PayResponse{Receipt: "run 1"}) {
				t.Errorf("the response is a %T: %v", answers[0].Response, answers[0].Response)
			}
		})
	}
}

func TestACallIsNotSentIfTheJournalIsFull(t *testing.T) {
	w, j := newWorld(t, setup{}), openJournal(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	got := dialOnce(t, w.url, nil, interceptor.WithJournal(j)).payKeyed(t.Context(), "")
	if onlyonce.VerdictOf(got.err) != onlyonce.VerdictNotExecuted || w.runs.Load() != 0 {
		t.Errorf("%v, verdict %v, %d runs", got.err, onlyonce.VerdictOf(got.err), w.runs.Load())
	}
}

func TestResumeSendsNothingThatNoClientProtects(t *testing.T) {
	w := newWorld(t, setup{})
	once := must(onceconnect.NewClient(soon()))(t)

	for name, opts := range map[string][]connect.ClientOption{
		"no client": nil, "not protected": {connect.WithInterceptors(once)},
	} {
		left := leftCall(t, strings.TrimPrefix(w.url, "http://"))

		_, err := onceconnect.Resume(t.Context(), left, onceconnect.Destination{
			HTTPClient: httpClient(t, true), BaseURL: w.url, Options: opts,
		})
		if err == nil || !strings.Contains(err.Error(), "have no Client that protects the method") || w.runs.Load() != 0 {
			t.Errorf("%s: %v, %d runs", name, err, w.runs.Load())
		}
	}

	if _, err := onceconnect.Resume(t.Context(), openJournal(t), onceconnect.Destination{BaseURL: "payments"}); err == nil {
		t.Error("no base URL")
	}
}

// connect-go sends an empty request in place of one that is too large, and an empty payment is a payment.
func TestResumeKeepsBackWhatConnectCannotSend(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			request := must(proto.Marshal(&shopv1.PayRequest{Order: "1"}))(t)
			left := leftEntry(t, journal.Entry{
				Method: payMethod, Key: "key", Target: strings.TrimPrefix(w.url, "http://"), Request: request, Written: time.Now(),
			})
			opts = append(opts, connect.WithInterceptors(must(onceconnect.NewClient(soon()))(t)), connect.WithSendMaxBytes(1))

			summary, err := onceconnect.Resume(t.Context(), left, onceconnect.Destination{
				HTTPClient: httpClient(t, true), BaseURL: w.url, Options: opts,
			})
			if w.runs.Load() != 0 || summary.Left != 1 {
				t.Errorf("%+v, %v, %d runs", summary, err, w.runs.Load())
			}
		})
	}
}

// A server without the kit would run the call again. Only a confirmation, or the program, says that it has the kit.
func TestResumeSendsOnlyWhatAServerHasConfirmed(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			left := leftCall(t, strings.TrimPrefix(w.url, "http://"))
			once := must(onceconnect.NewClient(soon(), interceptor.WithMethods(noteMethod)))(t)
			to := onceconnect.Destination{
				HTTPClient: httpClient(t, true), BaseURL: w.url, Options: append(opts, connect.WithInterceptors(once)),
			}

			summary, err := onceconnect.Resume(t.Context(), left, to)
			if w.runs.Load() != 0 || summary.Left != 1 {
				t.Errorf("%+v, %v, %d runs; want none, and the call left", summary, err, w.runs.Load())
			}

			to.Unconfirmed = true

			if summary, err = onceconnect.Resume(t.Context(), left, to); w.runs.Load() != 1 || summary.Left != 0 {
				t.Errorf("%+v, %v, %d runs; want one, and nothing left", summary, err, w.runs.Load())
			}
		})
	}
}

func TestResumeWithoutAnHTTPClientUsesTheDefaultOne(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	w := newWorld(t, setup{})
	once := must(onceconnect.NewClient(soon(), interceptor.WithMethods(noteMethod)))(t)

	summary, err := onceconnect.Resume(t.Context(), leftCall(t, strings.TrimPrefix(w.url, "http://")), onceconnect.Destination{
		BaseURL: w.url, Options: []connect.ClientOption{connect.WithInterceptors(once)}, Unconfirmed: true,
	})
	if w.runs.Load() != 1 {
		t.Errorf("%+v, %v, %d runs", summary, err, w.runs.Load())
	}
}

// A process that knows a method only by its name sends the call in the binary form, whatever the options of its clients are.
func TestResumeFinishesACallWhoseTypesAreNotLinked(t *testing.T) {
	const unknown = "/unknown.v1.Service/Call"

	request := must(proto.Marshal(&shopv1.PayRequest{Order: "7", Amount: 3}))(t)
	mux := http.NewServeMux()
	mux.Handle(unknown, connect.NewUnaryHandlerSimple(unknown, func(ctx context.Context, req *shopv1.PayRequest) (*shopv1.PayRequest, error) {
		info, _ := connect.CallInfoForHandlerContext(ctx)
		info.ResponseTrailer().Set(interceptor.StatusTrailer, string(onlyonce.StatusReplayed))

		return req, nil
	}))
	url := serve(t, onceconnect.Handler(mux), nil)

	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			left := leftEntry(t, journal.Entry{Method: unknown, Key: "key", Target: "old.test", Request: request, Written: time.Now()})
			once := must(onceconnect.NewClient(soon(), interceptor.WithMethods(unknown)))(t)

			var got []byte

			summary, err := onceconnect.Resume(t.Context(), left, onceconnect.Destination{
				HTTPClient: httpClient(t, true), BaseURL: url, Options: append(opts, connect.WithInterceptors(once)), Unconfirmed: true,
			}, journal.WithTarget("old.test"), journal.OnAnswer("", func(_ context.Context, a journal.Answer) error {
				if empty, ok := a.Response.(*emptypb.Empty); ok {
					got = empty.ProtoReflect().GetUnknown()
				}

				return a.Err
			}))
			if err != nil || summary.Answered != 1 || !bytes.Equal(got, request) {
				t.Errorf("%+v, %v, the response is %q", summary, err, got)
			}
		})
	}
}

// leftCall returns a journal with a call that an earlier process has left.
func leftCall(t *testing.T, host string) *journal.Journal {
	t.Helper()

	return leftEntry(t, journal.Entry{Method: noteMethod, Key: "key", Target: host})
}

func leftEntry(t *testing.T, entry journal.Entry) *journal.Journal {
	t.Helper()

	path := filepath.Join(t.TempDir(), "calls")
	before := must(journal.Open(path))(t)
	must(before.Begin(t.Context(), entry))(t)
	_ = before.Close() // of a process that ends

	j := must(journal.Open(path))(t)
	t.Cleanup(func() { _ = j.Close() })

	return j
}
