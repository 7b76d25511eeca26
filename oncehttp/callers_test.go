package oncehttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

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

func TestF22ThousandDuplicatesAtOnceGetTheOneAnswerOrARetryableError(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		const waiters = 256

		many := int64(1000)
		if http2 {
			many = 300 // the client opens a connection for each 250 of them
		}

		proceed := make(chan struct{})

		var came atomic.Int64

		w := start(t, setup{
			http2: http2, engine: []onlyonce.Option{patient()},
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
			all     sync.WaitGroup
			mu      sync.Mutex
			answers = make(map[string]int64)
		)

		for range many {
			all.Go(func() {
				a := w.post("k")

				if a.said() == string(onlyonce.StatusRejected) {
					a.mustReject(http.StatusConflict, onlyonce.ReasonInProgress)

					if a.header.Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
				} else if a.status != http.StatusOK || a.body != "once" {
					t.Errorf("%d %q", a.status, a.body)
				}

				mu.Lock()
				defer mu.Unlock()

				answers[a.said()]++
			})
		}

		all.Wait()
		w.mustHaveRun(1)

		if answers["executed"] != 1 || answers["replayed"] < waiters || answers["executed"]+answers["replayed"]+answers["rejected"] != many {
			t.Errorf("%v", answers)
		}

		w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusOK)
		w.mustHaveRun(1)
	})
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

func TestF23WaiterWhoseTimeIsOverMayTryAgain(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	w := start(t, setup{
		engine: []onlyonce.Option{patient()},
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()

				if r.Header.Get("X-Hurry") != "" {
					cancel()
				}

				next.ServeHTTP(rw, r.WithContext(ctx))
			})
		},
	}, func(http.ResponseWriter, *http.Request) {
		close(running)
		<-proceed
	})

	done := make(chan *answer)
	go func() { done <- w.post("k") }()

	<-running
	w.post("k", "X-Hurry", "1").mustBe(onlyonce.StatusRejected, http.StatusServiceUnavailable)
	close(proceed)
	(<-done).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.mustHaveRun(1)
}
