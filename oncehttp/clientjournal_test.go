package oncehttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// keptRequests is a journal store in memory.
type keptRequests struct {
	mu      sync.Mutex
	last    uint64
	entries []journal.Entry
	refuses error // of appends
	keeps   error // of removals
}

func (k *keptRequests) Append(_ context.Context, entry journal.Entry) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.refuses != nil {
		return 0, k.refuses
	}

	k.last++
	entry.ID = k.last
	k.entries = append(k.entries, entry)

	return k.last, nil
}

func (k *keptRequests) Remove(_ context.Context, id uint64, _ bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.keeps == nil {
		k.entries = slices.DeleteFunc(k.entries, func(e journal.Entry) bool { return e.ID == id })
	}

	return k.keeps
}

func (k *keptRequests) Entries(context.Context) ([]journal.Entry, error) {
	return k.kept(), nil
}

func (k *keptRequests) Close() error { return nil }

func (k *keptRequests) kept() []journal.Entry {
	k.mu.Lock()
	defer k.mu.Unlock()

	return slices.Clone(k.entries)
}

// journal opens the store, as a new process does.
func (k *keptRequests) journal(t *testing.T) *journal.Journal {
	t.Helper()

	j, err := journal.New(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}

	return j
}

// transport returns a Transport with a journal to the server of w.
func (w *world) transport(k *keptRequests, headers []string, opts ...oncehttp.ClientOption) *oncehttp.Transport {
	w.t.Helper()

	transport, err := oncehttp.NewTransport(w.server.Client().Transport, append([]oncehttp.ClientOption{
		oncehttp.WithRetry(retry.Policy{MaxAttempts: 3, BaseDelay: 1, MaxDelay: 1}), oncehttp.WithJournal(k.journal(w.t), headers...),
	}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}

	return transport
}

// always presumes that the servers have the kit.
func always() oncehttp.ClientOption {
	return oncehttp.WithPresumed(func(*http.Request) bool { return true })
}

// left returns a journal with a request that an earlier process has left.
func left(w *world, age time.Duration, r *http.Request, headers ...string) *keptRequests {
	w.t.Helper()

	k := &keptRequests{}
	gone := errors.New("the process was killed")

	// A Transport whose request is never sent makes the entry.
	transport, err := oncehttp.NewTransport(roundTripper(func(*http.Request) (*http.Response, error) { return nil, gone }),
		oncehttp.WithJournal(k.journal(w.t), headers...))
	if err != nil {
		w.t.Fatal(err)
	}

	if resp, err := transport.RoundTrip(r); !errors.Is(err, gone) { //nolint:bodyclose // there is none
		w.t.Fatalf("%v, %v", resp, err)
	}

	if len(k.kept()) != 1 {
		w.t.Fatalf("the journal has %+v", k.kept())
	}

	k.entries[0].Written = time.Now().Add(-age)

	return k
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRequestIsInTheJournalFromBeforeItsFirstAttemptUntilItsAnswerIsRead(t *testing.T) {
	k := &keptRequests{}

	var during []journal.Entry

	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		during = k.kept()
		_, _ = io.WriteString(rw, "answer")
	})
	client := &http.Client{Transport: w.transport(k, []string{"x-version"},
		oncehttp.WithRouteName(func(*http.Request) string { return "/payments/{id}" }))}

	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()

	r := w.request(http.MethodPost, "/payments/7?a=b", "order-1", "body", "Content-Type", "text/plain", "Authorization", "Bearer secret",
		"Cookie", "session=secret", "Proxy-Authorization", "Basic secret", "X-Api-Key", "secret",
		"X-Version", "2").WithContext(ctx)
	r.URL.User = url.UserPassword("shop", "secret")
	deadline, _ := ctx.Deadline()

	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	if len(during) != 1 || len(k.kept()) != 1 {
		t.Fatalf("during the request the journal had %+v, before the answer is read %+v", during, k.kept())
	}

	entry := during[0]
	if entry.Method != "POST /payments/{id}" || entry.Key != "order-1" || entry.Target != w.server.URL || !entry.Deadline.Equal(deadline) ||
		time.Since(entry.Written) > time.Hour {
		t.Errorf("%+v", entry)
	}

	text := string(entry.Request)
	if !strings.Contains(text, "X-Version") || !strings.Contains(text, "text/plain") || !strings.HasSuffix(text, "body") ||
		strings.Contains(text, "secret") {
		t.Errorf("the journal has %q", text)
	}

	if body, err := io.ReadAll(resp.Body); string(body) != "answer" || err != nil || len(k.kept()) != 0 {
		t.Errorf("%q, %v; the journal has %+v", body, err, k.kept())
	}
}

func TestRequestLeavesTheJournalWhenItsAnswerIsClosedOrEmpty(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"closed": func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "answer") },
		"empty":  func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			k := &keptRequests{}
			w := start(t, setup{}, handler)

			resp, err := w.transport(k, nil).RoundTrip(w.request(http.MethodPost, "/", "k", "body"))
			if err != nil {
				t.Fatal(err)
			}

			if name == "closed" {
				_ = resp.Body.Close()
			} else {
				defer resp.Body.Close()
			}

			if len(k.kept()) != 0 {
				t.Errorf("the journal has %+v", k.kept())
			}
		})
	}
}

func TestRequestThatCannotBeWrittenIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		refuses error
		verdict onlyonce.Verdict
	}{
		"full":      {journal.ErrFull, onlyonce.VerdictNotExecuted},
		"uncertain": {journal.ErrUncertain, onlyonce.VerdictUnknown},
		"left":      {journal.ErrLeft, onlyonce.VerdictUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{}, nil)
			client := &http.Client{Transport: w.transport(&keptRequests{refuses: c.refuses}, nil)}

			_, outcome, err := w.pay(client)
			if !errors.Is(err, c.refuses) || outcome.Verdict != c.verdict || outcome.Key == "" || outcome.Attempts != 0 {
				t.Errorf("%+v, %v", outcome, err)
			}

			w.mustHaveRun(0)
		})
	}
}

func TestRequestWithoutAFinalAnswerStaysInTheJournal(t *testing.T) {
	cut := func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set(oncehttp.StatusHeader, "executed")
		rw.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(rw, "part")
		_ = http.NewResponseController(rw).Flush()

		panic(http.ErrAbortHandler)
	}

	for name, step := range map[string]func(http.ResponseWriter, *http.Request){
		"unknown": says(500, onlyonce.StatusUnknown), "lost": drop, "broken off": cut,
		"in progress": rejects(409, onlyonce.ReasonInProgress, "0"),
	} {
		t.Run(name, func(t *testing.T) {
			k := &keptRequests{}
			w, _ := scripted(t, step)

			resp, err := w.transport(k, nil).RoundTrip(w.request(http.MethodPost, "/", "k", "body"))
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}

			if len(k.kept()) != 1 {
				t.Errorf("the journal has %+v", k.kept())
			}
		})
	}
}

// The program may recover from the panic and go on. Resume then finds the request without a new process.
func TestRequestWhoseRoundTripperPanicsWaitsForResume(t *testing.T) {
	w, _ := scripted(t)
	calls := (&keptRequests{}).journal(t)

	transport, err := oncehttp.NewTransport(roundTripper(func(*http.Request) (*http.Response, error) { panic("a defect") }),
		oncehttp.WithJournal(calls))
	if err != nil {
		t.Fatal(err)
	}

	func() {
		defer func() {
			if value := recover(); value != "a defect" {
				t.Errorf("the panic is %v", value)
			}
		}()

		_, _ = transport.RoundTrip(w.request(http.MethodPost, "/", "k", "body")) //nolint:bodyclose // there is none
	}()

	if n := calls.Left(); n != 1 {
		t.Errorf("%d requests wait, want 1", n)
	}
}

// A new key is safe only if no process can send the request again.
func TestReleasedRequestThatStaysInTheJournalIsUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		keeps   error
		verdict onlyonce.Verdict
	}{"removed": {nil, onlyonce.VerdictNotExecuted}, "kept": {errors.New("no disk"), onlyonce.VerdictUnknown}} {
		t.Run(name, func(t *testing.T) {
			k := &keptRequests{keeps: c.keeps}
			w, _ := scripted(t, says(429, onlyonce.StatusReleased))

			resp, err := w.transport(k, nil).RoundTrip(w.request(http.MethodPost, "/", "k", "body"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()

			if outcome := oncehttp.OutcomeOf(resp, nil); outcome.Verdict != c.verdict {
				t.Errorf("%+v", outcome)
			}

			// The same holds for an error: no request is sent.
			broken, err := oncehttp.NewTransport(&http.Transport{Proxy: nil, DialContext: nil}, oncehttp.WithJournal(k.journal(t)),
				oncehttp.WithRetry(retry.Policy{MaxAttempts: 1}))
			if err != nil {
				t.Fatal(err)
			}

			r := w.request(http.MethodPost, "/", "other", "body")
			r.URL.Host = "127.0.0.1:1"

			if _, err := broken.RoundTrip(r); onlyonce.VerdictOf(err) != c.verdict { //nolint:bodyclose // there is none
				t.Errorf("%v: %v", onlyonce.VerdictOf(err), err)
			}
		})
	}
}

func TestBodyThatIsInTheJournalCanBeSentAgain(t *testing.T) {
	w, s := scripted(t, rejects(503, onlyonce.ReasonStoreUnavailable, "0"), says(200, onlyonce.StatusExecuted))

	r := w.request(http.MethodPost, "/", "k", "")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("body")), -1

	resp, err := w.transport(&keptRequests{}, nil).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	s.one(t, 2)

	if !slices.Equal(s.body, []string{"body", "body"}) || r.GetBody != nil {
		t.Errorf("bodies %q", s.body)
	}
}

// A later process would send the shorter body, which is another request.
func TestRequestWhoseBodyDiffersFromContentLengthIsNotInTheJournal(t *testing.T) {
	for _, body := range []string{"", "bo", "body and more"} {
		w, k := start(t, setup{}, nil), &keptRequests{}

		r := w.request(http.MethodPost, "/", "k", "body")
		r.Body, r.GetBody = io.NopCloser(strings.NewReader(body)), nil

		//nolint:bodyclose // there is none
		if _, err := w.transport(k, nil).RoundTrip(r); onlyonce.VerdictOf(err) != onlyonce.VerdictNotExecuted || k.last != 0 {
			t.Errorf("%q: %v, and the journal had %d requests", body, err, k.last)
		}
	}
}

// The trailer of a streaming handler has the status of the request.
func TestRequestWhoseStreamIsClosedEarlyStaysInTheJournal(t *testing.T) {
	proceed := make(chan struct{})
	w := start(t, setup{engine: []onlyonce.Option{patient()}}, func(rw http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(rw).Flush()
		<-proceed
	})
	k := &keptRequests{}

	resp, err := (&http.Client{Transport: w.transport(k, nil)}).Do(w.request(http.MethodPost, "/", "k", "body"))
	if err != nil {
		t.Fatal(err)
	}

	_ = resp.Body.Close()

	close(proceed)

	if len(k.kept()) != 1 {
		t.Errorf("the journal has %+v", k.kept())
	}
}
