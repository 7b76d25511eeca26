package oncehttp_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF16OvertakenRunGetsTheAnswerOfTheWinner(t *testing.T) {
	for name, test := range map[string]struct{ streams, recovers bool }{
		"collected": {}, "streamed": {streams: true}, "streamed behind a recovery": {streams: true, recovers: true},
	} {
		t.Run(name, func(t *testing.T) {
			mem := memstore.New()
			engineAt := make(chan *onlyonce.Engine, 1)
			how := setup{store: mem, engine: []onlyonce.Option{patient()}}

			if test.recovers {
				how.front = swallowPanics
			}

			w := start(t, how, func(rw http.ResponseWriter, r *http.Request) {
				if test.streams {
					_, _ = io.WriteString(rw, "mine ")
					_ = http.NewResponseController(rw).Flush()
				}

				_, _ = io.WriteString(rw, "mine")

				// During the run, an operator settles the record with another answer.
				engine := <-engineAt

				rec, err := engine.Lookup(r.Context(), onlyonce.Identity{Scope: "shared", Method: "POST /{rest...}", Key: "k"})
				if err != nil {
					t.Error(err)
				}

				if err := engine.ForceForget(r.Context(), rec, "a test"); err != nil {
					t.Error(err)
				}

				other, err := onlyonce.New(mem) // of another process
				if err != nil {
					t.Error(err)
				}

				//nolint:contextcheck // another process does not have the context of this request
				reply, err := other.Execute(context.WithoutCancel(t.Context()), &onlyonce.Call{
					Scope: "shared", Method: "POST /{rest...}", Key: "k", Fingerprint: rec.Fingerprint,
				}, func(context.Context) onlyonce.Outcome {
					return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "202", Body: []byte("\x01\x01\x00\xca\x00\x00theirs")}
				})
				if err != nil || reply.Status != onlyonce.StatusExecuted {
					t.Errorf("%+v, %v", reply, err)
				}
			})
			engineAt <- w.engine

			switch {
			case test.recovers: // nothing breaks the connection, so the trailer tells the client
				a := w.post("k")
				if got := a.trailer.Get(oncehttp.StatusHeader); got != string(onlyonce.StatusUnknown) {
					t.Errorf("the trailer has %q: %+v", got, a)
				}
			case test.streams: // a part of the wrong answer was sent, so the connection is broken
				resp, err := w.client.Do(w.request(http.MethodPost, "/payments", "k", `{"amount":100}`, "Content-Type", "application/json"))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}

				if err == nil {
					t.Error("the client got a whole answer that does not count")
				}
			default:
				if a := w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusAccepted); a.body != "theirs" {
					t.Errorf("%q", a.body)
				}
			}

			if a := w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusAccepted); a.body != "theirs" {
				t.Errorf("%q", a.body)
			}

			w.mustHaveRun(1)
		})
	}
}

func TestF16LeaseLostWhileTheWinnerRuns(t *testing.T) {
	mem := memstore.New()
	engineAt := make(chan *onlyonce.Engine, 1)
	running, proceed, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})

	w := start(t, setup{store: mem, engine: []onlyonce.Option{onlyonce.WithPolicy(onlyonce.Policy{MaxWait: onlyonce.NoWait})}},
		func(_ http.ResponseWriter, r *http.Request) {
			engine := <-engineAt
			id := onlyonce.Identity{Scope: "shared", Method: "POST /{rest...}", Key: "k"}

			rec, err := engine.Lookup(r.Context(), id)
			if err != nil {
				t.Error(err)
			}

			if err := engine.ForceForget(r.Context(), rec, "a test"); err != nil {
				t.Error(err)
			}

			other, err := onlyonce.New(mem) // of another process
			if err != nil {
				t.Error(err)
			}

			go func() { //nolint:contextcheck // another process does not have the context of this request
				defer close(ended)

				_, _ = other.Execute(context.WithoutCancel(t.Context()), &onlyonce.Call{
					Scope: id.Scope, Method: id.Method, Key: id.Key, Fingerprint: rec.Fingerprint,
				}, func(context.Context) onlyonce.Outcome {
					close(running)
					<-proceed

					return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "200", Body: []byte("\x01\x01\x00\xc8\x00\x00theirs")}
				})
			}()

			<-running
		})
	engineAt <- w.engine

	a := w.post("k")
	a.mustReject(http.StatusConflict, onlyonce.ReasonLeaseLost)

	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}

	close(proceed)
	<-ended

	if a := w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusOK); a.body != "theirs" {
		t.Errorf("%q", a.body)
	}
}
