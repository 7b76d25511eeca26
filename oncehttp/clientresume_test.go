package oncehttp_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

func TestResumeSendsTheSameRequestAndTheProgramGetsTheRecordedAnswer(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{RequestHeaders: []string{"X-Version", "Content-Type"}})},
		func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			rw.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(rw, r.Method+" "+r.URL.String()+" "+string(body)+" "+r.Header.Get("Authorization"))
		})

	request := func() *http.Request {
		return w.request(http.MethodPut, "/payments/7?a=b", "order-1", "body", "Content-Type", "text/plain", "X-Version", "2")
	}
	k := left(w, time.Hour, request(), "X-Version")

	first := request() // the first process has sent it
	first.Header.Set("Authorization", "first")
	w.send(first).mustBe(onlyonce.StatusExecuted, http.StatusCreated)

	var got []string

	transport := w.transport(k, []string{"X-Version"}, always(), oncehttp.WithResumed(func(r *http.Request) error {
		r.Header.Set("Authorization", "again")

		return nil
	}))

	summary, err := transport.Resume(t.Context(), w.server.URL+"/",
		journal.OnAnswer("PUT /payments/7", func(_ context.Context, a journal.Answer) error {
			resp, ok := a.Response.(*http.Response)
			if !ok || a.Err != nil {
				t.Fatalf("%+v", a)
			}
			defer resp.Body.Close()

			body, err := io.ReadAll(resp.Body)
			got = append(got, resp.Status, string(body), resp.Request.Header.Get("Authorization"), oncehttp.OutcomeOf(resp, err).Key)

			return err
		}))
	if err != nil || summary != (journal.Summary{Answered: 1}) || len(k.kept()) != 0 {
		t.Errorf("%+v, %v; the journal has %+v", summary, err, k.kept())
	}

	if want := []string{"201 Created", "PUT /payments/7?a=b body first", "again", "order-1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}

	w.mustHaveRun(1)
}

func TestResumeRunsWhatHasNeverArrived(t *testing.T) {
	w := start(t, setup{}, nil)
	k := left(w, time.Hour, w.request(http.MethodPost, "/", "k", ""))

	// Another server, and another way to write this one.
	transport := w.transport(k, nil, always())
	if summary, err := transport.Resume(t.Context(), "http://other.test"); err != nil || summary != (journal.Summary{}) {
		t.Errorf("%+v, %v", summary, err)
	}

	if summary, err := transport.Resume(t.Context(), w.server.URL); err != nil || summary != (journal.Summary{Answered: 1}) {
		t.Errorf("%+v, %v", summary, err)
	}

	w.mustHaveRun(1)
}

// A server that refuses raw keys would refuse the request for good, and the journal would lose it.
func TestResumeKeepsTheQuotesOfTheCallersHeader(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithPreset(oncehttp.Draft())}}, nil)
	k := left(w, time.Hour, w.request(http.MethodPost, "/", `"k"`, ""))

	summary, err := w.transport(k, nil, always()).Resume(t.Context(), w.server.URL)
	if err != nil || summary != (journal.Summary{Answered: 1}) {
		t.Errorf("%+v, %v", summary, err)
	}

	w.send(w.request(http.MethodPost, "/", `"k"`, "")).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	w.mustHaveRun(1)
}

func TestResumeFindsTheRequestsOfAServerHoweverItIsSpelt(t *testing.T) {
	w := start(t, setup{}, nil)

	for asked, resumed := range map[string]string{
		"https://Shop.test": "https://shop.test", "https://shop.test:443": "https://SHOP.test", "http://shop.test": "http://shop.test:80",
		"http://shop.test:443": "HTTP://shop.test:443",
	} {
		r := w.request(http.MethodPost, "/payments", "k", "body")
		r.URL, _ = r.URL.Parse(asked + "/payments")
		r.Host = r.URL.Host

		answer := roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusOK, Header: http.Header{oncehttp.StatusHeader: {"executed"}}, Body: http.NoBody, Request: r,
			}, nil
		})

		transport, err := oncehttp.NewTransport(answer, oncehttp.WithJournal(left(w, 0, r).journal(t)), always())
		if err != nil {
			t.Fatal(err)
		}

		if summary, err := transport.Resume(t.Context(), resumed); err != nil || summary != (journal.Summary{Answered: 1}) {
			t.Errorf("%s as %s: %+v, %v", asked, resumed, summary, err)
		}
	}
}

// The old name leads nowhere any more.
func TestResumeSendsTheRequestsOfAServerThatHasAnotherNameNow(t *testing.T) {
	for name, c := range map[string]struct{ host, want string }{
		"the URL's host": {"", ""}, "the same host": {"Old.test", ""}, "another host": {"tenant.test", "tenant.test"},
	} {
		t.Run(name, func(t *testing.T) {
			var host string

			w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
				host = r.Host
				rw.WriteHeader(http.StatusCreated)
			})
			r := w.request(http.MethodPost, "/payments?a=b", "k", "body")
			r.URL.Scheme, r.URL.Host, r.Host = "https", "old.test", c.host
			k := left(w, time.Hour, r)

			summary, err := w.transport(k, nil, always()).Resume(t.Context(), w.server.URL, journal.WithTarget("https://old.test"))
			if err != nil || summary != (journal.Summary{Answered: 1}) || len(k.kept()) != 0 {
				t.Errorf("%+v, %v; the journal has %+v", summary, err, k.kept())
			}

			if want := cmp.Or(c.want, strings.TrimPrefix(w.server.URL, "http://")); host != want {
				t.Errorf("the host is %q, want %q", host, want)
			}

			w.mustHaveRun(1)
		})
	}
}

func TestResumeSendsOnlyToServersThatProtectTheRoute(t *testing.T) {
	w := start(t, setup{}, nil)
	k := left(w, time.Hour, w.request(http.MethodPost, "/payments", "k", "body"))
	transport := w.transport(k, nil)

	summary, err := transport.Resume(t.Context(), w.server.URL)
	if err == nil || !strings.Contains(err.Error(), "WithPresumed") || summary != (journal.Summary{Left: 1}) {
		t.Errorf("%+v, %v", summary, err)
	}

	w.mustHaveRun(0)

	// An answer confirms the route.
	if _, _, err := w.pay(&http.Client{Transport: transport}); err != nil {
		t.Fatal(err)
	}

	if summary, err := transport.Resume(t.Context(), w.server.URL); err != nil || summary != (journal.Summary{Answered: 1}) {
		t.Errorf("%+v, %v", summary, err)
	}

	w.mustHaveRun(2)
}

func TestResumeLeavesWhatItDoesNotKnow(t *testing.T) {
	failing := oncehttp.WithResumed(func(*http.Request) error { return errors.New("no token") })

	for name, c := range map[string]struct {
		step    func(http.ResponseWriter, *http.Request)
		options []oncehttp.ClientOption
		sent    int
		why     string
	}{
		"lost":           {drop, nil, 3, "EOF"},
		"unknown":        {says(500, onlyonce.StatusUnknown), nil, 1, "500"},
		"released":       {says(429, onlyonce.StatusReleased), nil, 1, "429"}, // the earlier process may have sent it
		"in progress":    {rejects(409, onlyonce.ReasonInProgress, "0"), nil, 3, "IN_PROGRESS"},
		"no credentials": {drop, []oncehttp.ClientOption{failing}, 0, "no token"},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := scripted(t, c.step)
			k := left(w, time.Hour, w.request(http.MethodPost, "/", "k", "body"))

			unsent := journal.OnUnsent(func(context.Context, journal.Entry, error) error {
				t.Error("the request was given up")

				return nil
			})

			summary, err := w.transport(k, nil, append(c.options, always())...).Resume(t.Context(), w.server.URL, unsent)
			if err == nil || !strings.Contains(err.Error(), c.why) || summary != (journal.Summary{Left: 1}) || len(k.kept()) != 1 {
				t.Errorf("%+v, %v; the journal has %+v", summary, err, k.kept())
			}

			if n := len(s.requests()); n != c.sent {
				t.Errorf("%d requests were sent, want %d", n, c.sent)
			}
		})
	}
}

func TestResumeHandsOverWhatCannotBeSent(t *testing.T) {
	hour := oncehttp.WithRetention(time.Hour)

	for name, c := range map[string]struct {
		step    func(http.ResponseWriter, *http.Request)
		age     time.Duration
		options []oncehttp.ClientOption
		sent    int
		reason  error
	}{
		"reused":                       {rejects(422, onlyonce.ReasonKeyReused, ""), time.Hour, nil, 1, onlyonce.ReasonKeyReused},
		"not stored":                   {rejects(409, onlyonce.ReasonOutcomeNotStored, ""), time.Hour, nil, 1, onlyonce.ReasonOutcomeNotStored},
		"older than a day":             {drop, 25 * time.Hour, nil, 0, journal.ErrTooOld},
		"older than the servers' hour": {drop, 55 * time.Minute, []oncehttp.ClientOption{hour}, 0, journal.ErrTooOld},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := scripted(t, c.step)
			k := left(w, c.age, w.request(http.MethodPost, "/", "k", "body"))

			var reason error

			summary, err := w.transport(k, nil, append(c.options, always())...).Resume(t.Context(), w.server.URL,
				journal.OnUnsent(func(_ context.Context, _ journal.Entry, why error) error {
					reason = why

					return nil
				}))
			if err != nil || summary != (journal.Summary{Unsent: 1}) || !errors.Is(reason, c.reason) || len(k.kept()) != 0 {
				t.Errorf("%+v, %v; reason %v; the journal has %+v", summary, err, reason, k.kept())
			}

			if n := len(s.requests()); n != c.sent {
				t.Errorf("%d requests were sent, want %d", n, c.sent)
			}
		})
	}
}

// The caller's patience bounds one process. The retention bounds them all.
func TestResumeIsNotBoundByTheTimeOfTheEarlierProcess(t *testing.T) {
	w := start(t, setup{}, nil)
	k := left(w, time.Hour, w.request(http.MethodPost, "/", "k", "body"))
	impatient := oncehttp.WithRetry(retry.Policy{MaxElapsed: time.Minute})

	if summary, err := w.transport(k, nil, always(), impatient).Resume(t.Context(), w.server.URL); err != nil || summary.Answered != 1 {
		t.Errorf("%+v, %v", summary, err)
	}

	w.mustHaveRun(1)
}

func TestResumeWithoutAJournalOrAServerFails(t *testing.T) {
	plain, err := oncehttp.NewTransport(nil)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := plain.Resume(t.Context(), "http://shop.test"); err == nil {
		t.Error("a Transport without a journal resumes")
	}

	w := start(t, setup{}, nil)
	for _, server := range []string{"", "shop.test", "/payments", "http://", "%"} {
		if _, err := w.transport(&keptRequests{}, nil).Resume(t.Context(), server); err == nil {
			t.Errorf("%q is a server", server)
		}
	}
}

func TestResumeLeavesRequestsOfAnotherForm(t *testing.T) {
	w := start(t, setup{}, nil)

	for _, request := range []string{
		"", "\x02\x04POST", "\x01\x04POST", "\x01\x04POST\xff\xff", "\x01\x01 \x01/\x00\x00", "\x01\x04POST\x02%%\x00\x00",
	} {
		k := &keptRequests{last: 1, entries: []journal.Entry{
			{ID: 1, Method: "POST /", Key: "k", Target: w.server.URL, Request: []byte(request), Written: time.Now()},
		}}

		if summary, err := w.transport(k, nil, always()).Resume(t.Context(), w.server.URL); err == nil || summary.Left != 1 {
			t.Errorf("%q: %+v, %v", request, summary, err)
		}
	}

	w.mustHaveRun(0)
}

// Credentials of the program go only to the server that it has named.
func TestResumeSendsNothingToAnotherServer(t *testing.T) {
	w, s := scripted(t, says(200, onlyonce.StatusExecuted))
	k := left(w, time.Hour, w.request(http.MethodPost, "/", "k", "body"))
	k.entries[0].Target = "https://shop.test"

	summary, err := w.transport(k, nil, always()).Resume(t.Context(), "https://shop.test")
	if err == nil || !strings.Contains(err.Error(), "damaged") || summary != (journal.Summary{Left: 1}) || len(s.requests()) != 0 {
		t.Errorf("%+v, %v, %d requests", summary, err, len(s.requests()))
	}

	if summary, err := w.transport(k, nil, always()).Resume(t.Context(), w.server.URL); err != nil || summary != (journal.Summary{}) {
		t.Errorf("%+v, %v", summary, err)
	}
}
