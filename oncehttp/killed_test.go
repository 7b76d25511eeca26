package oncehttp_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// A server is killed when it has recorded the answer and before it sends it. The client's retry gets the recorded answer from another.
func TestF05ServerKilledAfterTheRecordBeforeTheReply(t *testing.T) {
	begin := func(t *testing.T) (w *town, first, second *process) {
		t.Helper()

		w = newTown(t)
		policy := settled(onlyonce.AtMostOnce, 0)

		first = w.serve(childConfig{Name: "first", Policy: policy, Dies: dieRecorded})
		second = w.serve(childConfig{Name: "second", Policy: policy})

		return w, first, second
	}

	end := func(t *testing.T, w *town, first *process) {
		t.Helper()

		first.mustBeKilled()

		if by := w.charged(); !slices.Equal(by, []string{"first"}) {
			t.Errorf("charged by %v, want first alone", by)
		}
	}

	t.Run("net/http", func(t *testing.T) {
		w, first, second := begin(t)

		if a, err := first.post(); err == nil {
			t.Fatalf("the dead server answered %+v", a)
		}

		if !w.mustHaveRecord() {
			t.FailNow()
		}

		a, err := second.post()
		if err != nil {
			t.Fatal(err)
		}

		a.mustBe(onlyonce.StatusReplayed, http.StatusCreated)

		if a.body != "charged by first" || a.header.Get("Location") != "/payments/1" {
			t.Errorf("%q, %v, %v", a.body, a.header, a.trailer)
		}

		end(t, w, first)
	})

	t.Run("a Transport", func(t *testing.T) {
		w, first, second := begin(t)

		base := &http.Transport{}
		defer base.CloseIdleConnections()

		transport, err := oncehttp.NewTransport(base, always(), oncehttp.WithRetry(retry.Policy{BaseDelay: 1, MaxDelay: 1}))
		if err != nil {
			t.Fatal(err)
		}

		client := &http.Client{Transport: transport}

		resp, err := client.Post(w.lossy(first, second)+"/payments", "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()

		body, err := io.ReadAll(resp.Body)
		if outcome := oncehttp.OutcomeOf(resp, err); outcome.Status != onlyonce.StatusReplayed || outcome.Attempts != 2 ||
			string(body) != "charged by first" {
			t.Errorf("%+v, %q", outcome, body)
		}

		end(t, w, first)
	})

	t.Run("curl", func(t *testing.T) {
		w, first, second := begin(t)

		said := curl(t, "--retry", "3", "--retry-all-errors", "--retry-delay", "1", "--data", "body", "--header", "Idempotency-Key: k",
			w.lossy(first, second)+"/payments")
		mustHave(t, said, " 201", "idempotency-status: replayed", "idempotent-replayed: true", "location: /payments/1", "charged by first")
		end(t, w, first)
	})
}

// The points of a client.
const (
	dieBegun    = "begun"    // nothing is written
	dieWritten  = "written"  // the request is in the journal, and was not sent
	dieAnswered = "answered" // the payment has happened, and the program has not read the answer
	dieHanded   = "handed"   // of a client that resumes: the function of OnAnswer has the answer
	dieRead     = "read"     // the request is no longer in the journal, and the program has the answer
)

// pay makes one payment with a journal, or sends what the journal has.
func (c *childConfig) pay() error {
	calls, err := journal.Open(c.Journal)
	if err != nil {
		return err
	}

	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		c.reach(dieWritten)

		resp, err := http.DefaultTransport.RoundTrip(r)
		c.reach(dieAnswered)

		return resp, err
	})

	transport, err := oncehttp.NewTransport(base, always(), oncehttp.WithJournal(calls))
	if err != nil {
		return err
	}

	c.reach(dieBegun)

	if c.Resumes {
		_, err := transport.Resume(context.Background(), c.Server, journal.OnAnswer("", func(context.Context, journal.Answer) error {
			c.reach(dieHanded)

			return nil
		}))
		c.reach(dieRead)

		return err
	}

	resp, err := (&http.Client{Transport: transport}).Post(c.Server+"/payments", "text/plain", strings.NewReader("body"))
	if err != nil {
		return err
	}
	defer resp.Body.Close()

	if _, err := io.ReadAll(resp.Body); err != nil {
		return err
	}

	c.reach(dieRead)

	return nil
}

// A client is killed at each point of a request with a journal. The next process that opens the journal gets the
// answer, and pays once.
func TestClientKilledAtEachPointPaysOnce(t *testing.T) {
	for _, point := range []string{dieBegun, dieWritten, dieAnswered, dieRead} {
		t.Run(point, func(t *testing.T) {
			w := newTown(t)
			server := w.serve(childConfig{Name: "server", Policy: settled(onlyonce.AtMostOnce, 0)})
			path := filepath.Join(t.TempDir(), "requests")

			w.start(childConfig{Dies: point, Server: server.url, Journal: path}).mustBeKilled()

			sent := point == dieAnswered || point == dieRead
			if (len(w.charged()) == 1) != sent {
				t.Errorf("charged %v before the next process", w.charged())
			}

			want := 0
			if point == dieWritten || point == dieAnswered {
				want = 1
			}

			mustResume(t, server, path, want)

			if charged := len(w.charged()); charged != 1 && point != dieBegun || charged != 0 && point == dieBegun {
				t.Errorf("charged %d times", charged)
			}
		})
	}
}

// A client is killed before it has sent its request. The next one is killed at each point of Resume. The third one gets the answer.
func TestClientKilledAtEachPointOfResumePaysOnce(t *testing.T) {
	for point, left := range map[string]int{dieBegun: 1, dieWritten: 1, dieAnswered: 1, dieHanded: 1, dieRead: 0} {
		t.Run(point, func(t *testing.T) {
			w := newTown(t)
			server := w.serve(childConfig{Name: "server", Policy: settled(onlyonce.AtMostOnce, 0)})
			path := filepath.Join(t.TempDir(), "requests")

			w.start(childConfig{Dies: dieWritten, Server: server.url, Journal: path}).mustBeKilled()
			w.start(childConfig{Dies: point, Server: server.url, Journal: path, Resumes: true}).mustBeKilled()

			sent := point != dieBegun && point != dieWritten
			if (len(w.charged()) == 1) != sent {
				t.Errorf("charged %v before the third process", w.charged())
			}

			mustResume(t, server, path, left)

			if charged := len(w.charged()); charged != 1 {
				t.Errorf("charged %d times", charged)
			}
		})
	}
}

// mustResume checks that the requests that killed clients have left get the answer of a server, and that nothing stays in the journal.
func mustResume(t *testing.T, server *process, path string, left int) {
	t.Helper()

	calls, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()

	base := &http.Transport{}
	defer base.CloseIdleConnections()

	transport, err := oncehttp.NewTransport(base, always(), oncehttp.WithJournal(calls))
	if err != nil {
		t.Fatal(err)
	}

	answers := 0

	summary, err := transport.Resume(t.Context(), server.url, journal.OnAnswer("POST /payments",
		func(_ context.Context, a journal.Answer) error {
			answers++

			resp, ok := a.Response.(*http.Response)
			if !ok {
				t.Fatalf("%+v", a)
			}
			defer resp.Body.Close()

			if body, err := io.ReadAll(resp.Body); string(body) != "charged by server" || err != nil {
				t.Errorf("%q, %v", body, err)
			}

			return nil
		}))
	if err != nil || answers != left || summary.Answered != left || calls.Left() != 0 {
		t.Errorf("%d answers, %+v, %v; want %d", answers, summary, err, left)
	}
}
