package oncehttp_test

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store"
)

// record is the record of a POST request.
func (w *world) record(key string) onlyonce.Record {
	w.t.Helper()

	rec, err := w.engine.Lookup(w.t.Context(), onlyonce.Identity{Scope: "shared", Method: "POST /{rest...}", Key: key})
	if err != nil {
		w.t.Fatal(err)
	}

	return rec
}

func TestDecodeRecordReadsTheAnswerOfACall(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithRecordedHeaders("Checksum")}}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		rw.Header().Set("Trailer", "Checksum")
		rw.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(rw, "paid")
		rw.Header().Set("Checksum", "17")
	})

	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusCreated)

	request, answer, err := oncehttp.DecodeRecord(w.record("k"))
	if err != nil || request != nil || answer == nil {
		t.Fatalf("%v, %v, %v", request, answer, err)
	}

	want := oncehttp.Answer{
		Status: http.StatusCreated, Header: http.Header{"Content-Type": {"text/plain"}}, Trailer: http.Header{"Checksum": {"17"}},
		Body: []byte("paid"),
	}
	if !reflect.DeepEqual(*answer, want) {
		t.Errorf("the answer is %+v, want %+v", *answer, want)
	}
}

func TestDecodeRecordReadsTheRequestOfACallWithoutAnOutcome(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{Policy: onlyonce.Policy{KeepRequest: 1000}})}, failing)
	w.post("k").mustBe(onlyonce.StatusUnknown, http.StatusInternalServerError)

	request, answer, err := oncehttp.DecodeRecord(w.record("k"))
	if err != nil || request == nil || answer != nil {
		t.Fatalf("%v, %v, %v", request, answer, err)
	}

	body, _ := io.ReadAll(request.Body)
	if request.Method != http.MethodPost || request.URL.Path != "/payments" || string(body) != `{"amount":100}` ||
		request.Header.Get("Content-Type") != "application/json" || request.Host == "" {
		t.Errorf("the request is %s %s of %q with %v and %q", request.Method, request.URL, request.Host, request.Header, body)
	}
}

func TestDecodeRecordReturnsNilForWhatARecordDoesNotHave(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get(oncehttp.KeyHeader) == "streamed" {
			_ = http.NewResponseController(rw).Flush()
		}

		rw.WriteHeader(http.StatusInternalServerError)
	})

	for _, key := range []string{"absent", "unknown", "streamed"} {
		if key != "absent" {
			w.post(key)
		}

		if request, answer, err := oncehttp.DecodeRecord(w.record(key)); request != nil || answer != nil || err != nil {
			t.Errorf("%s: %v, %v, %v", key, request, answer, err)
		}
	}
}

func TestDecodeRecordRefusesWhatThisPackageHasNotWritten(t *testing.T) {
	completed := store.Record{State: store.Completed}
	code, body, _ := oncehttp.FindingOf(oncehttp.Answer{Body: []byte("paid")}).Answer()

	for name, c := range map[string]struct {
		rec  onlyonce.Record
		want error
	}{
		"an answer of another transport": {onlyonce.Record{Record: completed, Code: "OK", Body: []byte("paid")}, store.ErrNewer},
		"another code":                   {onlyonce.Record{Record: completed, Code: "201", Body: body}, store.ErrUnreadable},
		"a newer answer":                 {onlyonce.Record{Record: completed, Code: code, Body: append([]byte{9}, body[1:]...)}, store.ErrNewer},
		"a request of another transport": {onlyonce.Record{Request: []byte{0, 1}}, store.ErrUnreadable},
		"a newer request":                {onlyonce.Record{Request: []byte("{}")}, store.ErrNewer},
		"a request without a target":     {onlyonce.Record{Request: []byte{1, 1, 'P', 1, 'x', 0}}, store.ErrUnreadable},
		"a short request":                {onlyonce.Record{Request: []byte{1, 9, 'P'}}, store.ErrUnreadable},
	} {
		if request, answer, err := oncehttp.DecodeRecord(c.rec); request != nil || answer != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v, %v, want %v", name, request, answer, err, c.want)
		}
	}
}
