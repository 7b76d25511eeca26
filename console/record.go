package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
)

// recordPage is the page of a record.
type recordPage struct {
	frame

	Store, ID, Method, State string
	// Unknown reports that the record must be settled. Gone reports that there is no record.
	Unknown, Gone bool
	// Broken is the reason why the record cannot be read.
	Broken string
	At     moment
	Story  []event
	Facts  []fact
	// Key and the texts are empty unless Revealed is true.
	Revealed bool
	Secrets  []secret
	// Reveal is the address of the page that shows them.
	Reveal string
	// Settle and Forget are the forms, or nil.
	Settle *settleForm
	Forget *forgetForm
	// Problem is the reason why a form was refused.
	Problem string
}

type fact struct{ Name, Value string }

// secret is a text that is hidden by default.
type secret struct{ Name, Size, Text, Problem string }

func (h *Handler) record(w http.ResponseWriter, r *http.Request) {
	from, rec, err := h.find(r)
	if err != nil && !readableEnough(err) {
		h.fail(w, r, err)

		return
	}

	page := h.recordPage(r, from, &rec, err)

	status := http.StatusOK
	if page.Gone {
		status = http.StatusNotFound
	}

	h.render(w, status, "record", page)
}

// readableEnough reports whether the page can show a record despite an error.
func readableEnough(err error) bool {
	return errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer)
}

func (h *Handler) recordPage(r *http.Request, from *source, rec *onlyonce.Record, problem error) *recordPage {
	id := rec.ID.String()
	page := &recordPage{
		frame: h.frame(r, cmp.Or(rec.Method, "A record")), Store: from.Name, ID: id, Method: rec.Method, State: stateOf(rec),
		Unknown: rec.Unknown, Gone: rec.State == store.Absent && problem == nil, At: moment{rec.LookedUpAt, rec.LookedUpAt},
	}

	if problem != nil {
		page.Broken = h.text(problem)
	}

	if page.Gone || rec.State == store.Absent {
		return page
	}

	page.Story, page.Facts = story(rec), facts(rec)
	page.Reveal = recordURL(from.Name, id) + "&show=secrets"
	page.Revealed = page.MayReveal && r.FormValue("show") == "secrets"
	page.Secrets = h.secrets(rec, page.Revealed)

	if page.MaySettle && problem == nil {
		by := h.by(r)
		page.Forget = h.forgetForm(from.Name, by, rec)

		if rec.Unknown {
			page.Settle = h.settleForm(from.Name, by, rec)
		}
	}

	return page
}

// facts returns the fields that are not part of the history.
func facts(rec *onlyonce.Record) []fact {
	all := []fact{
		{"State", rec.State.String()},
		{"Code", rec.Code},
		{"Answer", notStored(rec)},
		{"Guarantee", rec.Guarantee.String()},
		{"Runs", strconv.FormatUint(uint64(rec.Attempts), 10)},
		{"Fence", strconv.FormatUint(rec.Fence, 10)},
		{"Doubtful", doubtful(rec)},
		{"Retention", ago(rec.Retention) + " after it is settled"},
		{"Fingerprint", fingerprint(rec)},
		{"Trace", rec.Trace},
		{"Read at", rec.LookedUpAt.UTC().Format(time.DateTime) + " UTC on the store's clock"},
	}

	shown := all[:0]

	for _, f := range all {
		if f.Value != "" {
			shown = append(shown, f)
		}
	}

	return shown
}

func doubtful(rec *onlyonce.Record) string {
	if rec.Doubtful {
		return "yes: the outcome of an earlier run is unknown"
	}

	return ""
}

func notStored(rec *onlyonce.Record) string {
	if rec.NotStored {
		return "too large to store"
	}

	return ""
}

func fingerprint(rec *onlyonce.Record) string {
	if rec.Fingerprint.Scheme == 0 {
		return ""
	}

	return fmt.Sprintf("scheme %d", rec.Fingerprint.Scheme)
}

// secrets returns the hidden texts. It decodes them only if they are revealed.
func (h *Handler) secrets(rec *onlyonce.Record, revealed bool) []secret {
	var all []secret

	show := func(name, size string, text func() (string, error)) {
		s := secret{Name: name, Size: size}

		if revealed {
			var err error
			if s.Text, err = text(); err != nil {
				s.Problem = err.Error()
			}
		}

		all = append(all, s)
	}

	if rec.ReadableKey != "" {
		show("Key", count(len(rec.ReadableKey), "byte"), func() (string, error) { return printable(rec.ReadableKey), nil })
	}

	if body := rec.Request; len(body) > 0 {
		show("Request", count(len(body), "byte"), func() (string, error) { return h.opts.Transport.request(rec.Method, body) })
	}

	if rec.Body != nil && operate.StateOf(rec) == operate.StateCompleted {
		show("Answer", count(len(rec.Body), "byte"), func() (string, error) {
			return h.opts.Transport.answer(rec.Method, rec.Code, rec.Body)
		})
	}

	return all
}

// request formats a stored request.
func (t *Transport) request(method string, body []byte) (string, error) {
	if t.Request == nil {
		return dump(body), nil
	}

	return t.Request(method, body)
}

// answer formats a stored answer.
func (t *Transport) answer(method, code string, body []byte) (string, error) {
	if t.Answer == nil {
		return dump(body), nil
	}

	return t.Answer(method, code, body)
}
