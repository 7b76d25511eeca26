package console

import (
	"bytes"
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"testing"

	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store"
)

const unaryCall = "/grpc.testing.TestService/UnaryCall"

func TestResponseIsJSONWhereItsMessageIsKnown(t *testing.T) {
	known := GRPC(nil)

	if got := known.ResponseForm(unaryCall); got != "JSON of grpc.testing.SimpleResponse" {
		t.Errorf("the form is %q", got)
	}

	found, err := known.Respond(unaryCall, `{"username": "ada"}`)
	if err != nil {
		t.Fatal(err)
	}

	want, _ := interceptor.FindingOf(&testpb.SimpleResponse{Username: "ada"}, nil)

	code, body, _ := found.Answer()
	if _, wanted, _ := want.Answer(); code != "OK" || !bytes.Equal(body, wanted) {
		t.Errorf("%s %x, want %x", code, body, wanted)
	}

	if text, err := known.Answer(unaryCall, code, body); err != nil || text != "{\n  \"username\": \"ada\"\n}" {
		t.Errorf("%q, %v", text, err)
	}

	for _, wrong := range []string{"", "{", `{"nobody": 1}`, `[]`} {
		if found, err := known.Respond(unaryCall, wrong); err == nil {
			t.Errorf("%q is accepted: %v", wrong, found)
		}
	}
}

func TestResponseIsBase64WhereItsMessageIsNotKnown(t *testing.T) {
	known := GRPC(nil)
	data, _ := proto.Marshal(&testpb.SimpleResponse{Username: "ada"})

	found, err := known.Respond(payMethod, " EgNh\nZGE= ") // field 2, three bytes
	if err != nil {
		t.Fatal(err)
	}

	want, _ := interceptor.FindingOf(&testpb.SimpleResponse{Username: "ada"}, nil)

	code, body, _ := found.Answer()
	if _, wanted, _ := want.Answer(); !bytes.Equal(body, wanted) || len(data) != 5 {
		t.Errorf("%x, want %x", body, wanted)
	}

	if text, err := known.Answer(payMethod, code, body); err != nil || !strings.Contains(text, "12 03 61 64 61") {
		t.Errorf("%q, %v", text, err)
	}

	for _, wrong := range []string{"!", "EgNhZ", "/w=="} {
		if found, err := known.Respond(payMethod, wrong); err == nil {
			t.Errorf("%q is accepted: %v", wrong, found)
		}
	}
}

func TestErrorsAreShownAndOnlyKnownCodesAreAccepted(t *testing.T) {
	known := GRPC(nil)

	for _, code := range known.Codes {
		found, err := known.Fail(unaryCall, code, "no such account")
		if err != nil {
			t.Fatal(err)
		}

		got, body, _ := found.Answer()
		if text, err := known.Answer(unaryCall, got, body); got != code || err != nil || !strings.Contains(text, "no such account") {
			t.Errorf("%s: %s, %q, %v", code, got, text, err)
		}
	}

	for _, wrong := range []string{"", "OK", "SUCCESS", `"`, "17"} {
		if found, err := known.Fail(unaryCall, wrong, ""); err == nil {
			t.Errorf("%q is accepted: %v", wrong, found)
		}
	}
}

// An answer of gRPC in such a record would make every duplicate fail.
func TestRecordOfAnotherTransportGetsNoAnswerOfGRPC(t *testing.T) {
	known := GRPC(nil)

	for _, method := range []string{"", "payout", "POST", "POST /payments", "POST /shop/payments", "consume/mail/orders"} {
		if found, err := known.Fail(method, "NOT_FOUND", "no such account"); err == nil {
			t.Errorf("%q gets an error of gRPC: %v", method, found)
		}

		if found, err := known.Respond(method, ""); err == nil {
			t.Errorf("%q gets a response of gRPC: %v", method, found)
		}
	}
}

func TestRequestsAndAnswersOfHTTPAreShownAsText(t *testing.T) {
	known, method := GRPC(nil), "POST /payments"
	finding := oncehttp.FindingOf(oncehttp.Answer{
		Status: http.StatusCreated, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"id":17}`),
	})
	code, answer, _ := finding.Answer()

	text, err := known.Answer(method, code, answer)
	if want := "201 Created\nContent-Type: application/json\n\n{\"id\":17}"; text != want || err != nil {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}

	request := "\x01\x04POST\x0b/payments?a\x02\x04Host\x01\x04shop\x06Tenant\x01\x02eu{}"

	text, err = known.Request(method, []byte(request))
	if want := "POST /payments?a\nHost: shop\nTenant: eu\n\n{}"; text != want || err != nil {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}

	if text, err := known.Request(method, []byte("paid")); !strings.Contains(text, "paid") || err != nil { // of something else
		t.Errorf("got %q, %v", text, err)
	}
}

func TestKeptRequestIsShownToThoseWhoAsk(t *testing.T) {
	d := newDesk(t, operators(), onlyonce.Policy{KeepRequest: 1000})
	request, _ := proto.Marshal(&testpb.SimpleRequest{FillUsername: true})

	call := onlyonce.Call{Method: unaryCall, Key: secretKey, Request: request}
	_, _ = d.engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, errLine })

	rec := d.lookup(unaryCall, secretKey)
	d.get(page(rec)).wants(t, http.StatusOK, "Request (2 bytes)", "JSON of grpc.testing.SimpleResponse")
	d.get(page(rec)).lacks(t, "fillUsername")
	d.get(page(rec)+"&show=secrets").wants(t, http.StatusOK, "fillUsername")

	form := d.filled(rec, foundAnswered)
	form.Set("response", `{"username": "ada"}`)
	form.Set("confirmed", "yes")

	if got := d.post("/settle", form); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", got.StatusCode, got.body)
	}

	d.get(page(rec)+"&show=secrets").wants(t, http.StatusOK, "&#34;username&#34;: &#34;ada&#34;")
}

func TestBytesThatAreNoMessageAreDumpedWithTheProblem(t *testing.T) {
	known := GRPC(nil)

	if text, err := known.Request(unaryCall, []byte{0xff}); err == nil || !strings.Contains(text, "ff") {
		t.Errorf("%q, %v", text, err)
	}

	if text, err := known.Answer(unaryCall, "OK", []byte{0xff}); err == nil || !strings.Contains(text, "ff") {
		t.Errorf("%q, %v", text, err)
	}

	for _, method := range []string{"", "/", "x", "/grpc.testing.TestService/None", "/grpc.testing.SimpleRequest/x", "/…/…"} {
		if text, err := known.Request(method, []byte{0xff}); err != nil || !strings.Contains(text, "ff") {
			t.Errorf("%s: %q, %v", method, text, err)
		}
	}
}

// A transport without abilities supports only decisions that need no transport.
func TestTransportThatCannotMakeAnswers(t *testing.T) {
	opts := operators()
	opts.Transport = Transport{Codes: []string{"none"}}

	d := newDesk(t, opts, onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)

	d.get(page(rec)).lacks(t, `id="failed"`, `id="answered"`)
	d.post("/settle", d.filled(rec, foundFailed)).wants(t, http.StatusUnprocessableEntity, "choose what has happened")
}

// brokenStore is a store whose lists end with an error, and whose records cannot be read.
type brokenStore struct{ *exhibit }

func (b brokenStore) Capabilities() store.Capabilities {
	can := b.exhibit.Capabilities()
	can.Inspector = b

	return can
}

func (brokenStore) Lookup(context.Context, store.Key) (store.Result, error) {
	return store.Result{}, errLine
}

func TestStoreThatDoesNotAnswerIsAClearPage(t *testing.T) {
	engine, err := onlyonce.New(brokenStore{newExhibit()}, onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	opts := operators()
	opts.Redact = func(text string) string { return strings.ReplaceAll(text, "the line", "***") }

	h, err := New(opts, Store{Name: "payments", Engine: engine})
	if err != nil {
		t.Fatal(err)
	}

	d := &desk{t: t, engine: engine, handler: h, served: h, header: http.Header{}}
	d.get(page(onlyonce.Record{})).wants(t, http.StatusBadGateway, "The store did not answer", "*** to the bank broke")
	d.get("/record?"+url.Values{"store": {"other"}}.Encode()).wants(t, http.StatusNotFound, "Store not found")
	d.get("/record?store=payments&id=xyz").wants(t, http.StatusBadRequest, "Invalid record ID")
}

func TestStoreThatCannotBeReadIsNotAStoreWithoutRecords(t *testing.T) {
	engine, err := onlyonce.New(silentStore{newExhibit()}, onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	h, err := New(Options{}, Store{Name: "payments", Engine: engine})
	if err != nil {
		t.Fatal(err)
	}

	got := (&desk{t: t, engine: engine, handler: h, served: h, header: http.Header{}}).get("/")
	got.wants(t, http.StatusOK, "could not be read completely", "<dt>unknown</dt><dd>?</dd>", "<dt>oldest unknown</dt><dd>?</dd>",
		"<dt>running</dt><dd>?</dd>", "The store could not be read.")
	got.lacks(t, "No outcome is unknown", "Nothing is running")

	if n := strings.Count(got.body, errLine.Error()); n != 1 {
		t.Errorf("the page has the same problem %d times", n)
	}
}

func TestNumberOfAListThatWasNotReadToItsEndIsTheLeast(t *testing.T) {
	records := make([]onlyonce.Record, 2)

	for want, l := range map[string]list{
		"0": {}, "2": {Records: records}, "2+": {Records: records, More: true}, "?": {Err: errLine}, "1+": {Records: records[:1], Err: errLine},
		"3": {Records: records, Broken: make([]broken, 1)},
	} {
		if got := l.Total(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// silentStore is a store whose lists cannot be read.
type silentStore struct{ *exhibit }

func (s silentStore) Capabilities() store.Capabilities {
	can := s.exhibit.Capabilities()
	can.Lister = s

	return can
}

func (silentStore) ListUnknown(context.Context) iter.Seq2[store.Listed, error] { return noList }
func (silentStore) ListRunning(context.Context) iter.Seq2[store.Listed, error] { return noList }

func noList(yield func(store.Listed, error) bool) { yield(store.Listed{}, errLine) }
