package oncehttp_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

func TestF26SameKeyOfAnotherCaller(t *testing.T) {
	w := start(t, setup{scoped: true, scope: oncehttp.ScopeFromHeader("X-Tenant")}, nil)

	w.post("k", "X-Tenant", "a").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	w.post("k", "X-Tenant", "b").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	w.post("k", "X-Tenant", "a").mustBe(onlyonce.StatusReplayed, http.StatusCreated)

	// Another request of another caller is no reuse.
	w.send(w.request(http.MethodPost, "/payments", "k", "other", "X-Tenant", "c")).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	w.mustHaveRun(3)

	w.post("k").mustReject(http.StatusUnauthorized, onlyonce.ReasonScopeMissing)
	w.post("k", "X-Tenant", "").mustReject(http.StatusUnauthorized, onlyonce.ReasonScopeMissing)
	w.post("k", "X-Tenant", "a", "X-Tenant", "b").mustReject(http.StatusUnauthorized, onlyonce.ReasonScopeMissing)
	w.mustHaveRun(3)
}

func TestScopeComesBeforeTheKey(t *testing.T) {
	w := start(t, setup{scoped: true, scope: oncehttp.ScopeFunc(func(*http.Request) (string, error) {
		return "", errors.New("secret")
	})}, nil)

	w.post("two words").mustReject(http.StatusUnauthorized, onlyonce.ReasonScopeMissing)
}

func TestPeerScopesNeedACertificate(t *testing.T) {
	for _, scope := range []oncehttp.Scope{oncehttp.ScopeFromPeerURI(), oncehttp.ScopeFromPeerDNS()} {
		for _, http2 := range []bool{false, true} {
			w := start(t, setup{scoped: true, scope: scope, http2: http2}, nil)
			w.post("k").mustReject(http.StatusUnauthorized, onlyonce.ReasonScopeMissing)
		}
	}
}

func TestF25SameKeyOnAnotherMethodAndRoute(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithRouteOf(func(r *http.Request) string { return r.URL.Path })}}, nil)

	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, path := range []string{"/a", "/b"} {
			w.send(w.request(method, path, "k", "")).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
			w.send(w.request(method, path, "k", "")).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
		}
	}

	w.mustHaveRun(8)
}

func TestUnknownMethodsAreOne(t *testing.T) {
	w := start(t, setup{}, nil)

	w.send(w.request("PURGE", "/", "k", "")).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	w.send(w.request("PURGE", "/", "k", "")).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	w.send(w.request("BURN", "/", "k", "")).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
}

func TestReplayCheck(t *testing.T) {
	var allowed atomic.Bool

	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithReplayCheck(func(r *http.Request) error {
		switch {
		case allowed.Load():
			return nil
		case r.Header.Get("X-Own") != "":
			return &oncehttp.Problem{Status: http.StatusNotFound, Detail: "no such payment"}
		default:
			return errors.New("secret")
		}
	})}}, nil)

	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusCreated)

	if a := w.post("k").mustBe(onlyonce.StatusRejected, http.StatusForbidden); a.body == "" || contains(a.body, "secret") ||
		a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s", a.body)
	}

	if a := w.post("k", "X-Own", "1").mustBe(onlyonce.StatusRejected, http.StatusNotFound); !contains(a.body, "no such payment") {
		t.Errorf("%s", a.body)
	}

	allowed.Store(true)
	w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	w.mustHaveRun(1)
}
