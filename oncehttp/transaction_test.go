package oncehttp_test

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// exactly is the policy of handlers that share a transaction with their record.
func exactly(mode onlyonce.TransactionMode) []oncehttp.Option {
	return policy(oncehttp.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: mode, MaxOutcome: 100}})
}

func TestSingleTransactionSendsNothingBeforeItsCommit(t *testing.T) {
	db := txstore.New()

	var rows atomic.Int64

	w := start(t, setup{store: db, options: exactly(onlyonce.SingleTransaction)}, func(rw http.ResponseWriter, r *http.Request) {
		txstore.Write(r.Context(), func() { rows.Add(1) })

		if _, _, err := http.NewResponseController(rw).Hijack(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("hijack: %v", err)
		}

		switch r.URL.Path {
		case "/refused":
			rw.WriteHeader(http.StatusForbidden)
		case "/kept":
			oncehttp.KeepWrites(r.Context())
			rw.WriteHeader(http.StatusForbidden)
		case "/large":
			_, _ = rw.Write(make([]byte, 1000))
		default:
			_, _ = io.WriteString(rw, "ok")
		}

		if err := http.NewResponseController(rw).Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
	})

	send := func(path string) *answer { return w.send(w.request(http.MethodPost, path, "k"+path, "")) }

	for path, c := range map[string]struct {
		status int
		rows   int64
	}{"/ok": {200, 1}, "/refused": {403, 0}, "/kept": {403, 1}} {
		rows.Store(0)

		send(path).mustBe(onlyonce.StatusExecuted, c.status)
		send(path).mustBe(onlyonce.StatusReplayed, c.status)

		if rows.Load() != c.rows {
			t.Errorf("%s: %d rows, want %d", path, rows.Load(), c.rows)
		}
	}

	if a := send("/large").mustBe(onlyonce.StatusExecuted, 200); len(a.body) != 1000 || a.header.Get(oncehttp.StatusHeader) == "" {
		t.Errorf("%d bytes, %v", len(a.body), a.header)
	}

	send("/large").mustReject(http.StatusConflict, onlyonce.ReasonOutcomeNotStored)
}

func TestTransactionThatConflictsRunsAgainWithTheSameRequest(t *testing.T) {
	db := txstore.New()

	var rows atomic.Int64

	w := start(t, setup{store: db, options: exactly(onlyonce.SingleTransaction)}, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		body = append(body, r.Header.Get("Content-Type")...)
		r.Header.Set("Content-Type", "changed")
		txstore.Write(r.Context(), func() { rows.Add(1) })
		_, _ = rw.Write(append(body, r.Header.Get("X-Extra")...))
		rw.Header().Set("X-Run", "1")
	})

	db.Fail(txstore.Conflict)

	if a := w.post("k", "X-Extra", "!").mustBe(onlyonce.StatusExecuted, http.StatusOK); a.body != `{"amount":100}application/json!` {
		t.Errorf("%q", a.body)
	}

	w.mustHaveRun(2)

	if rows.Load() != 1 {
		t.Errorf("%d rows", rows.Load())
	}
}

func TestJoinedTransactionAnswersWithWhatItCommitted(t *testing.T) {
	db := txstore.New()

	var rows atomic.Int64

	w := start(t, setup{store: db, options: exactly(onlyonce.JoinedTransaction)}, func(rw http.ResponseWriter, r *http.Request) {
		tx := db.Open()
		defer tx.Rollback()

		tx.Write(func() { rows.Add(1) })

		var answer any

		if r.URL.Path == "/own" {
			answer = oncehttp.Answer{Status: http.StatusAccepted, Header: http.Header{"Location": {"/1"}}, Body: []byte("committed")}
		} else {
			rw.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(rw, "committed")
		}

		if err := tx.Join(r.Context(), answer, nil); err != nil {
			t.Error(err)
		}

		http.SetCookie(rw, &http.Cookie{Name: "a", Value: "b"})

		if err := tx.Commit(r.Context()); err != nil {
			t.Error(err)
		}

		if r.URL.Path == "/own" {
			rw.WriteHeader(http.StatusInternalServerError) // does not count any more
			_, _ = io.WriteString(rw, "failed")
		}
	})

	for _, path := range []string{"/own", "/written"} {
		for _, said := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
			a := w.send(w.request(http.MethodPost, path, "k"+path, "")).mustBe(said, http.StatusAccepted)
			if a.body != "committed" {
				t.Errorf("%q", a.body)
			}

			if path == "/own" && (a.header.Get("Location") != "/1" || (a.header.Get("Set-Cookie") != "") != (said == onlyonce.StatusExecuted)) {
				t.Errorf("%v", a.header)
			}
		}
	}

	w.mustHaveRun(2)

	if rows.Load() != 2 {
		t.Errorf("%d rows", rows.Load())
	}
}
