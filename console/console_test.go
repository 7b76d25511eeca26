package console

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const (
	payMethod = "/bank.v1.Bank/Pay"
	secretKey = "order-4711"
)

var errLine = errors.New("the line to the bank broke")

// desk is a console on one store, and the engine that fills the store.
type desk struct {
	t       *testing.T
	engine  *onlyonce.Engine
	handler *Handler
	served  http.Handler
	header  http.Header
}

func newDesk(t *testing.T, opts Options, policy onlyonce.Policy) *desk {
	t.Helper()

	activity := new(Activity)

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(activity), onlyonce.WithPolicy(policy))
	if err != nil {
		t.Fatal(err)
	}

	handler, err := New(opts, Store{Name: "payments", Engine: engine, Activity: activity})
	if err != nil {
		t.Fatal(err)
	}

	return &desk{t: t, engine: engine, handler: handler, served: handler, header: http.Header{}}
}

// unknown makes a record whose outcome is unknown.
func (d *desk) unknown(method, key string) onlyonce.Record {
	d.t.Helper()

	_, _ = d.engine.Do(d.t.Context(), onlyonce.Call{Method: method, Key: key}, func(context.Context) ([]byte, error) { return nil, errLine })

	return d.lookup(method, key)
}

func (d *desk) lookup(method, key string) onlyonce.Record {
	d.t.Helper()

	rec, err := d.engine.Lookup(d.t.Context(), onlyonce.Identity{Method: method, Key: key})
	if err != nil {
		d.t.Fatal(err)
	}

	return rec
}

// answer is a response to the browser.
type answer struct {
	*http.Response

	body string
}

func (d *desk) do(method, target string, form url.Values) answer {
	d.t.Helper()

	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}

	req := httptest.NewRequestWithContext(d.t.Context(), method, target, body)
	maps.Copy(req.Header, d.header)

	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}

	recorder := httptest.NewRecorder()
	d.served.ServeHTTP(recorder, req)

	return answer{recorder.Result(), recorder.Body.String()}
}

func (d *desk) get(target string) answer { return d.do(http.MethodGet, target, nil) }

func (d *desk) post(target string, form url.Values) answer {
	return d.do(http.MethodPost, target, form)
}

func (a answer) wants(t *testing.T, status int, texts ...string) {
	t.Helper()

	if a.StatusCode != status {
		t.Errorf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}

	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("the page lacks %q: %s", text, a.body)
		}
	}
}

func (a answer) lacks(t *testing.T, texts ...string) {
	t.Helper()

	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("the page has %q: %s", text, a.body)
		}
	}
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// form returns the hidden fields of a form, as a browser sends them.
func (a answer) form(t *testing.T, action string) url.Values {
	t.Helper()

	_, rest, ok := strings.Cut(a.body, `action="`+action+`"`)
	if !ok {
		t.Fatalf("no form for %s: %s", action, a.body)
	}

	rest, _, _ = strings.Cut(rest, "</form>")
	form := url.Values{}

	for _, field := range hidden.FindAllStringSubmatch(rest, -1) {
		form.Set(field[1], unescaped(field[2]))
	}

	return form
}

func unescaped(text string) string {
	return strings.NewReplacer("&#43;", "+", "&#34;", `"`, "&#39;", "'", "&amp;", "&", "&lt;", "<", "&gt;", ">").Replace(text)
}

// page returns the address of a record.
func page(rec onlyonce.Record) string { return "/" + recordURL("payments", rec.ID.String()) }

// filled returns a filled-in form for a record.
func (d *desk) filled(rec onlyonce.Record, found string) url.Values {
	d.t.Helper()

	form := d.get(page(rec)).form(d.t, "settle")
	form.Set("found", found)
	form.Set("code", "NOT_FOUND")
	form.Set("message", "no such account")
	form.Set("by", "Ada")
	form.Set("reason", "the bank's statement")

	return form
}

func operators() Options { return Options{MaySettle: Everybody, MayReveal: Everybody} }

func TestPageListsWhatIsUnknownAndWhatRuns(t *testing.T) {
	d := newDesk(t, Options{}, onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)
	running, end := d.running("/bank.v1.Bank/Refund", "r-1")

	defer end()

	got := d.get("/")
	got.wants(t, http.StatusOK, payMethod, rec.ID.String()[:shortID], "/bank.v1.Bank/Refund", running.ID.String()[:shortID],
		"unknown: held", "Last 15 minutes: 1 call.", "read only")
	got.lacks(t, secretKey)

	got = d.get("/?" + url.Values{"store": {"payments"}, "method": {payMethod}}.Encode())
	got.wants(t, http.StatusOK, rec.ID.String()[:shortID])
	got.lacks(t, running.ID.String()[:shortID])
}

// running starts a run that ends when end is called.
func (d *desk) running(method, key string) (rec onlyonce.Record, end func()) {
	d.t.Helper()

	started, finish, done := make(chan struct{}), make(chan struct{}), make(chan struct{})

	go func() {
		defer close(done)

		_, _ = d.engine.Do(context.WithoutCancel(d.t.Context()), onlyonce.Call{Method: method, Key: key}, func(context.Context) ([]byte, error) {
			close(started)
			<-finish

			return nil, nil
		})
	}()

	<-started

	return d.lookup(method, key), func() {
		close(finish)
		<-done
	}
}

func TestSettlesWhatHasHappenedAfterASecondLook(t *testing.T) {
	for found, want := range map[string]string{foundFailed: "NOT_FOUND", foundAnswered: "OK"} {
		d := newDesk(t, operators(), onlyonce.Policy{})
		rec := d.unknown(payMethod, secretKey)
		form := d.filled(rec, found)

		review := d.post("/settle", form)
		review.wants(t, http.StatusOK, "Confirm the change", "Ada", "the bank&#39;s statement", want)

		if now := d.lookup(payMethod, secretKey); now.State != store.Unknown {
			t.Fatalf("%s: the review has settled the record: %v", found, now.State)
		}

		done := d.post("/settle", review.form(t, "settle"))
		if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != recordURL("payments", rec.ID.String()) {
			t.Fatalf("%s: status %d to %q: %s", found, done.StatusCode, done.Header.Get("Location"), done.body)
		}

		if now := d.lookup(payMethod, secretKey); now.State != store.Completed || now.Code != want {
			t.Errorf("%s: the record is %v with %s, want %s", found, now.State, now.Code, want)
		}

		d.get(page(rec)).wants(t, http.StatusOK, "Settled: it happened", "completed", "By Ada.", "Reason: the bank&#39;s statement")
	}
}

func TestSettlesWhatDidNotHappenOnlyWhenNoRunCanBeAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, operators(), onlyonce.Policy{})
		rec := d.unknown(payMethod, secretKey)
		early := d.filled(rec, foundNotHappened)

		d.get(page(rec)).wants(t, http.StatusOK, "Too early")
		d.post("/settle", early).wants(t, http.StatusUnprocessableEntity, "may still be alive", `value="Ada"`)

		time.Sleep(time.Until(rec.OwnerAliveUntil) + time.Second)

		// The person looked for the effect while a run may still have been working.
		early.Set("confirmed", "yes")
		d.post("/settle", early).wants(t, http.StatusUnprocessableEntity, "may still be alive")

		if now := d.lookup(payMethod, secretKey); now.State != store.Unknown {
			t.Fatalf("the record is %v", now.State)
		}

		review := d.post("/settle", d.filled(rec, foundNotHappened))
		review.wants(t, http.StatusOK, "The next call with this key runs the handler")

		if got := d.post("/settle", review.form(t, "settle")); got.StatusCode != http.StatusSeeOther {
			t.Fatalf("status %d: %s", got.StatusCode, got.body)
		}

		d.get(page(rec)).wants(t, http.StatusOK, "Settled: it did not happen", "By Ada.", "Reason: the bank&#39;s statement")
	})
}

func TestNobodySettlesWithoutANameAndAReason(t *testing.T) {
	d := newDesk(t, operators(), onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)

	for _, field := range []string{"by", "reason"} {
		for _, text := range []string{"", "  ", "a\nb", strings.Repeat("x", 256), "\xff"} {
			form := d.filled(rec, foundFailed)
			form.Set(field, text)
			form.Set("confirmed", "yes")
			d.post("/settle", form).wants(t, http.StatusUnprocessableEntity, "Nothing was changed")
		}
	}

	form := d.filled(rec, "")
	form.Set("confirmed", "yes")
	d.post("/settle", form).wants(t, http.StatusUnprocessableEntity, "choose what has happened")

	form = d.filled(rec, foundFailed)
	form.Set("code", "NO_SUCH_CODE")
	d.post("/settle", form).wants(t, http.StatusUnprocessableEntity, "no error code")

	if now := d.lookup(payMethod, secretKey); now.State != store.Unknown {
		t.Errorf("the record is %v", now.State)
	}
}

func TestNameIsThatOfTheAuthenticatedPersonIfTheServerKnowsIt(t *testing.T) {
	opts := operators()
	opts.By = func(r *http.Request) string { return r.Header.Get("X-User") }

	d := newDesk(t, opts, onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)

	d.header.Set("X-User", "grace")

	form := d.filled(rec, foundFailed) // claims to be Ada
	review := d.post("/settle", form)
	review.wants(t, http.StatusOK, "<dd class=\"wrap\">grace</dd>")

	d.header.Set("X-User", "mallory")
	d.post("/settle", review.form(t, "settle")).wants(t, http.StatusConflict, "The record has changed")

	d.header.Del("X-User")
	d.post("/settle", d.filled(rec, foundFailed)).wants(t, http.StatusUnprocessableEntity, "the name is missing")
}

func TestF49FormOfARecordThatHasChangedChangesNothing(t *testing.T) {
	d := newDesk(t, operators(), onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)
	first, second := d.filled(rec, foundFailed), d.filled(rec, foundAnswered)

	first.Set("confirmed", "yes")
	second.Set("confirmed", "yes")

	if got := d.post("/settle", first); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", got.StatusCode, got.body)
	}

	d.post("/settle", second).wants(t, http.StatusConflict, "The record has changed", "Nothing was changed", "Look at the record")

	if now := d.lookup(payMethod, secretKey); now.Code != "NOT_FOUND" {
		t.Errorf("the record has %s: the outdated form has changed it", now.Code)
	}
}

func TestFormThatNoPageHasShownIsRefused(t *testing.T) {
	d := newDesk(t, operators(), onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)
	other := d.unknown(payMethod, "other")

	for name, seen := range map[string]string{
		"none": "", "no base64": "?", "short": "AAAA", "of another record": d.filled(other, foundFailed).Get("seen"),
		"of another form": d.handler.sealer.seal(sighting{purposeForget, "payments", "", &rec}),
	} {
		form := d.filled(rec, foundFailed)
		form.Set("seen", seen)
		form.Set("confirmed", "yes")

		if got := d.post("/settle", form); got.StatusCode != http.StatusConflict {
			t.Errorf("%s: status %d: %s", name, got.StatusCode, got.body)
		}
	}

	later := d.filled(rec, foundFailed) // from a page shown at another time
	later.Set("seen", "B"+later.Get("seen")[1:])
	later.Set("confirmed", "yes")
	d.post("/settle", later).wants(t, http.StatusConflict, "The record has changed")

	if now := d.lookup(payMethod, secretKey); now.State != store.Unknown {
		t.Errorf("the record is %v", now.State)
	}
}

func TestForgetsARecordWithAReason(t *testing.T) {
	d := newDesk(t, operators(), onlyonce.Policy{})

	if _, err := d.engine.Do(t.Context(), onlyonce.Call{Method: payMethod, Key: secretKey}, func(context.Context) ([]byte, error) {
		return []byte("paid"), nil
	}); err != nil {
		t.Fatal(err)
	}

	rec := d.lookup(payMethod, secretKey)
	form := d.get(page(rec)).form(t, "forget")
	form.Set("by", "Ada")
	form.Set("reason", "erasure request 7")

	review := d.post("/forget", form)
	review.wants(t, http.StatusOK, "Confirm the change", "even if an earlier call had an effect")
	d.post("/forget", review.form(t, "forget")).wants(t, http.StatusOK, "Forgotten")
	d.get(page(rec)).wants(t, http.StatusNotFound, "This store has no record with this ID")

	if now := d.lookup(payMethod, secretKey); now.State != store.Absent {
		t.Errorf("the record is %v", now.State)
	}
}

func TestSettlingIsOffUnlessAllowed(t *testing.T) {
	d := newDesk(t, Options{}, onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)

	got := d.get(page(rec))
	got.wants(t, http.StatusOK, "Settling is off")
	got.lacks(t, "<form", "<button")

	for _, action := range []string{"/settle", "/forget"} {
		d.post(action, url.Values{"store": {"payments"}, "id": {rec.ID.String()}, "seen": {"x"}, "confirmed": {"yes"}}).
			wants(t, http.StatusForbidden, "Settling is off")
	}
}

func TestOnlyWhoMaySettleSettlesWhateverFormTheyHave(t *testing.T) {
	opts := operators()
	opts.MaySettle = func(r *http.Request) bool { return r.Header.Get("X-Role") == "operator" }

	d := newDesk(t, opts, onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)

	d.header.Set("X-Role", "operator")

	form := d.filled(rec, foundFailed)
	form.Set("confirmed", "yes")

	forget := d.get(page(rec)).body
	d.header.Set("X-Role", "reader")

	if !strings.Contains(forget, `id="settle"`) || strings.Contains(d.get(page(rec)).body, "<form") {
		t.Error("the form is not for those who may settle alone")
	}

	for _, action := range []string{"/settle", "/forget"} {
		d.post(action, form).wants(t, http.StatusForbidden, "Settling is off", "Nothing was changed")
	}

	if now := d.lookup(payMethod, secretKey); now.State != store.Unknown {
		t.Errorf("the record is %v", now.State)
	}
}

func TestTextsOfRecordsAreTextOnEveryPage(t *testing.T) {
	const evil = "</title><script>alert(1)</script>\x1b[31m\u202e\"onload=\"x"

	d := newDesk(t, operators(), onlyonce.Policy{})
	rec := d.unknown(evil, secretKey)
	form := d.filled(rec, foundFailed)
	form.Set("message", evil)

	again := d.filled(rec, foundFailed) // shown again, because this name cannot be stored
	again.Set("by", evil)
	again.Set("reason", evil)
	again.Set("message", evil)

	pages := map[string]answer{
		"list": d.get("/"), "record": d.get(page(rec)), "review": d.post("/settle", form), "again": d.post("/settle", again),
		"no store": d.get("/record?" + url.Values{"store": {evil}}.Encode()),
		"no ID":    d.get("/record?" + url.Values{"store": {"payments"}, "id": {evil}}.Encode()),
	}

	for name, got := range pages {
		if strings.Contains(got.body, "<script") || strings.Contains(got.body, `"onload=`) || !strings.Contains(got.body, "&lt;script") {
			t.Errorf("%s: the text is not text: %s", name, got.body)
		}

		if name != "again" && name != "review" && strings.ContainsAny(got.body, "\x1b\u202e") { // a form repeats its input
			t.Errorf("%s: the text has characters that nobody sees: %q", name, got.body)
		}
	}
}

func TestFormThatWasNotAcceptedKeepsWhatWasFilledIn(t *testing.T) {
	d := newDesk(t, operators(), onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)

	form := d.filled(rec, foundFailed)
	form.Set("by", "")
	d.post("/settle", form).
		wants(t, http.StatusUnprocessableEntity, `value="the bank&#39;s statement"`, `value="no such account"`, "<details>")

	if _, err := d.engine.Do(t.Context(), onlyonce.Call{Method: payMethod, Key: "done"}, func(context.Context) ([]byte, error) {
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}

	forget := d.get(page(d.lookup(payMethod, "done"))).form(t, "forget")
	forget.Set("reason", "erasure request 7")
	d.post("/forget", forget).wants(t, http.StatusUnprocessableEntity, "the name is missing", `value="erasure request 7"`, "<details open>")
}
