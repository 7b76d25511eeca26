package oncehttp_test

import (
	"context"
	"net/http"
	"strings"
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
