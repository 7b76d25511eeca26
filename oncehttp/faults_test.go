package oncehttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// faulty is a memstore behind a line.
func faulty(t *testing.T, f storetest.Faults, ops ...storetest.Op) *storetest.Faulty {
	t.Helper()

	line := storetest.NewFaulty(memstore.New(), 1, storetest.Faults{})
	line.Set(f, ops...)
	t.Cleanup(line.Close)

	return line
}

func TestF06StoreDownBeforeTheClaim(t *testing.T) {
	line := faulty(t, storetest.Faults{LostRequest: 1})
	w := start(t, setup{store: line.Store()}, nil)

	a := w.post("k")
	p := a.mustReject(http.StatusServiceUnavailable, onlyonce.ReasonStoreUnavailable)

	if after := a.header.Get("Retry-After"); after != "1" && after != "2" {
		t.Errorf("Retry-After %q", after)
	}

	if strings.Contains(p.Detail, "lost") {
		t.Errorf("the error of the store is in %q", p.Detail)
	}

	w.mustHaveRun(0)

	line.Set(storetest.Faults{})
	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
}

func TestF06FailOpenIsMarked(t *testing.T) {
	line := faulty(t, storetest.Faults{LostRequest: 1})
	w := start(t, setup{store: line.Store(), options: []oncehttp.Option{
		oncehttp.WithRoute("/open", oncehttp.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}}),
	}}, nil)

	w.send(w.request(http.MethodPost, "/open", "k", "")).mustBe(onlyonce.StatusUnprotected, http.StatusCreated)
	w.send(w.request(http.MethodPost, "/closed", "k", "")).mustReject(http.StatusServiceUnavailable, onlyonce.ReasonStoreUnavailable)
	w.mustHaveRun(1)
}

func TestF08StoreDownAtCompletion(t *testing.T) {
	line := faulty(t, storetest.Faults{LostRequest: 1}, storetest.OpComplete, storetest.OpRenew, storetest.OpHold, storetest.OpRelease)
	w := start(t, setup{store: line.Store(), engine: []onlyonce.Option{
		onlyonce.WithPolicy(onlyonce.Policy{MaxWait: onlyonce.NoWait}),
		onlyonce.WithLimits(onlyonce.Limits{SettleTimeout: 100 * time.Millisecond}),
	}}, nil)

	if a := w.post("k").mustBe(onlyonce.StatusUnrecorded, http.StatusCreated); a.body != "#1" {
		t.Errorf("%q", a.body)
	}

	w.post("k").mustReject(http.StatusConflict, onlyonce.ReasonInProgress)
	w.mustHaveRun(1)

	// The engine writes it in the background.
	line.Set(storetest.Faults{})

	if err := w.engine.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestF16OvertakenRunGetsTheAnswerOfTheWinner(t *testing.T) {
	for name, streams := range map[string]bool{"collected": false, "streamed": true} {
		t.Run(name, func(t *testing.T) {
			mem := memstore.New()
			engineAt := make(chan *onlyonce.Engine, 1)

			w := start(t, setup{store: mem, engine: []onlyonce.Option{patient()}}, func(rw http.ResponseWriter, r *http.Request) {
				if streams {
					_, _ = io.WriteString(rw, "mine ")
					_ = http.NewResponseController(rw).Flush()
				}

				_, _ = io.WriteString(rw, "mine")

				// While it runs, an operator settles the record with another answer.
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

			if streams { // a part of the wrong answer was sent, so the connection is broken
				resp, err := w.client.Do(w.request(http.MethodPost, "/payments", "k", "{}"))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}

				if err == nil {
					t.Error("the client got a whole answer that does not count")
				}
			} else if a := w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusAccepted); a.body != "theirs" {
				t.Errorf("%q", a.body)
			}

			if streams {
				w.send(w.request(http.MethodPost, "/payments", "k", "{}")).mustBe(onlyonce.StatusReplayed, http.StatusAccepted)
			} else if a := w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusAccepted); a.body != "theirs" {
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

func TestF20ClientThatLeavesDoesNotEndItsRun(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		running, gone := make(chan struct{}), make(chan struct{})

		w := start(t, setup{http2: http2, engine: []onlyonce.Option{patient()}}, func(rw http.ResponseWriter, r *http.Request) {
			close(running)
			<-gone

			if err := r.Context().Err(); err != nil {
				t.Errorf("the run was cancelled: %v", context.Cause(r.Context()))
			}

			rw.Header().Set("Location", "/late")
			rw.WriteHeader(http.StatusCreated)
		})

		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan struct{})

		go func() {
			<-running
			cancel()
			<-left
			close(gone)
		}()

		_, err := w.client.Do(w.request(http.MethodPost, "/", "k", "").WithContext(ctx)) //nolint:bodyclose // there is none
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}

		close(left)

		a := w.send(w.request(http.MethodPost, "/", "k", "")).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
		if a.header.Get("Location") != "/late" {
			t.Errorf("%v", a.header)
		}

		w.mustHaveRun(1)
	})
}

func TestF21DeadlineInFrontOfTheMiddleware(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	w := start(t, setup{
		engine: []onlyonce.Option{patient()},
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Hurry") != "" {
					ctx, cancel := context.WithCancelCause(r.Context())
					defer cancel(nil)

					go func() { // the deadline of the first caller passes while it runs
						<-running
						cancel(context.DeadlineExceeded)
						close(proceed)
					}()

					r = r.WithContext(ctx)
				}

				next.ServeHTTP(rw, r)
			})
		},
	}, func(rw http.ResponseWriter, _ *http.Request) {
		close(running)
		<-proceed
		_, _ = io.WriteString(rw, "done")
	})

	w.post("k", "X-Hurry", "1").mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusOK)
	w.mustHaveRun(1)
}

func TestF22ManyDuplicatesAtOnce(t *testing.T) {
	const many = 300

	proceed := make(chan struct{})

	var came atomic.Int64

	w := start(t, setup{
		engine: []onlyonce.Option{patient()},
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if came.Add(1) == many {
					close(proceed)
				}

				next.ServeHTTP(rw, r)
			})
		},
	}, func(rw http.ResponseWriter, _ *http.Request) {
		<-proceed
		_, _ = io.WriteString(rw, "once")
	})

	var (
		all      sync.WaitGroup
		mu       sync.Mutex
		statuses []string
	)

	for range many {
		all.Go(func() {
			a := w.post("k")

			mu.Lock()
			defer mu.Unlock()

			statuses = append(statuses, a.said())

			if a.said() == string(onlyonce.StatusRejected) { // past the bound of those that wait
				a.mustReject(http.StatusConflict, onlyonce.ReasonInProgress)

				return
			}

			if a.status != http.StatusOK || a.body != "once" {
				t.Errorf("%d %q", a.status, a.body)
			}
		})
	}

	all.Wait()
	w.mustHaveRun(1)

	slices.Sort(statuses)

	if got := slices.Compact(statuses); !slices.Equal(got, []string{"executed", "rejected", "replayed"}) {
		t.Errorf("%v", got)
	}
}

func TestF23WaiterWithAShorterDeadlineFailsAlone(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	w := start(t, setup{engine: []onlyonce.Option{patient()}, options: []oncehttp.Option{
		oncehttp.WithRoute("/nowait", oncehttp.Policy{Policy: onlyonce.Policy{MaxWait: onlyonce.NoWait}}),
	}}, func(http.ResponseWriter, *http.Request) {
		close(running)
		<-proceed
	})

	done := make(chan *answer)
	go func() { done <- w.send(w.request(http.MethodPost, "/nowait", "k", "")) }()

	<-running

	a := w.send(w.request(http.MethodPost, "/nowait", "k", ""))
	a.mustReject(http.StatusConflict, onlyonce.ReasonInProgress)

	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}

	close(proceed)
	(<-done).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.send(w.request(http.MethodPost, "/nowait", "k", "")).mustBe(onlyonce.StatusReplayed, http.StatusOK)
	w.mustHaveRun(1)
}

func TestF33PanicIsRecordedAndRaisedAgain(t *testing.T) {
	for name, problem := range map[string]any{"panic": "boom", "abort": http.ErrAbortHandler} {
		t.Run(name, func(t *testing.T) {
			var raised atomic.Value

			w := start(t, setup{front: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					defer func() {
						if p := recover(); p != nil {
							raised.Store(p)
							rw.WriteHeader(http.StatusInternalServerError)
						}
					}()

					next.ServeHTTP(rw, r)
				})
			}}, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("X-Partial", "1")
				_, _ = io.WriteString(rw, "partial")

				panic(problem)
			})

			if a := w.post("k").mustBe(onlyonce.StatusUnknown, http.StatusInternalServerError); a.body != "" || a.header.Get("X-Partial") != "" {
				t.Errorf("%q %v", a.body, a.header)
			}

			if raised.Load() != problem {
				t.Errorf("raised %v", raised.Load())
			}

			w.post("k").mustReject(http.StatusConflict, onlyonce.ReasonOutcomeUnknown)
			w.mustHaveRun(1)
		})
	}
}

func TestF33PanicWithoutARecoveryInFront(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}})},
		func(http.ResponseWriter, *http.Request) { panic("boom") })

	for range 2 {
		if resp, err := w.client.Do(w.request(http.MethodPost, "/", "k", "")); err == nil {
			t.Errorf("%v", resp)
			_ = resp.Body.Close()
		}
	}

	if n := w.runs.Load(); n < 2 { // net/http may send it again by itself, since the connection is broken
		t.Errorf("%d runs under AtLeastOnce", n)
	}
}

func TestF36DamagedRecords(t *testing.T) {
	bodies := map[string][]byte{
		"empty":           {},
		"truncated":       {1, 1, 0},
		"version 0":       {0, 1, 0, 200, 0, 0},
		"unknown kind":    {1, 9, 0, 200, 0, 0},
		"status 0":        {1, 1, 0, 0, 0, 0},
		"status 100":      {1, 1, 0, 100, 0, 0},
		"endless headers": {1, 1, 0, 200, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"cookie":          append([]byte{1, 1, 0, 200, 1, 10}, "Set-Cookie\x01\x03a=b\x00"...),
		"bad name":        append([]byte{1, 1, 0, 200, 1, 3}, "a b\x01\x01x\x00"...),
		"content kept":    append([]byte{1, 2, 0, 200, 0, 0}, "body"...),
	}

	w := start(t, setup{}, nil)

	for name, body := range bodies {
		t.Run("F36 "+name, func(t *testing.T) {
			key := strings.ReplaceAll(name, " ", "-")

			_, err := w.engine.Execute(t.Context(), &onlyonce.Call{Scope: "shared", Method: "POST /{rest...}", Key: key},
				func(context.Context) onlyonce.Outcome {
					return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "200", Body: body}
				})
			if err != nil {
				t.Fatal(err)
			}

			w.post(key).mustReject(http.StatusInternalServerError, onlyonce.ReasonRecordUnreadable)
		})
	}

	w.mustHaveRun(0)
}

func TestRecordOfANewerBuild(t *testing.T) {
	w := start(t, setup{}, nil)

	_, err := w.engine.Execute(t.Context(), &onlyonce.Call{Scope: "shared", Method: "POST /{rest...}", Key: "k"},
		func(context.Context) onlyonce.Outcome {
			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "200", Body: []byte{2, 1, 0, 200}}
		})
	if err != nil {
		t.Fatal(err)
	}

	w.post("k").mustReject(http.StatusServiceUnavailable, onlyonce.ReasonRecordNewer)
	w.mustHaveRun(0)
}

func TestDrainingServerRejects(t *testing.T) {
	w := start(t, setup{}, nil)

	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusCreated)

	if err := w.engine.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}

	w.post("new").mustReject(http.StatusServiceUnavailable, onlyonce.ReasonStoreUnavailable)
	w.mustHaveRun(1)
}

func TestFullStoreRejects(t *testing.T) {
	w := start(t, setup{store: memstore.New(memstore.WithMaxRecords(1))}, nil)

	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusCreated)

	a := w.post("other")
	a.mustReject(http.StatusTooManyRequests, onlyonce.ReasonStoreFull)

	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
