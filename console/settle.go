package console

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	maxForm = 8 << 20 // bytes of a form: a response may be long
	maxWho  = 255     // bytes of a name, and of a reason, that a record keeps

	purposeSettle = "settle"
	purposeForget = "forget"
)

// The ways to settle a record, as the form names them.
const (
	foundFailed      = "failed"
	foundAnswered    = "answered"
	foundNotHappened = "not-happened"
)

// author is who settles a record, and why.
type author struct {
	// By is the name, Fixed reports that the console knows it and does not ask.
	By     string
	Fixed  bool
	Reason string
}

// settleForm is the form that settles a record, and what somebody has filled in.
type settleForm struct {
	Author author

	Store, ID, Seen               string
	Found, Code, Message, Respond string
	Codes                         []string
	// MayFail and MayRespond report what the transport can do. ResponseForm says how a response is written.
	MayFail, MayRespond bool
	ResponseForm        string
	// TooEarly is until when nobody can say that nothing happened.
	TooEarly moment
}

// forgetForm is the form that removes a record.
type forgetForm struct {
	Author author

	Store, ID, Seen string
	TooEarly        moment
	// Open shows the form at once, because it was not accepted.
	Open bool
}

// reviewPage shows what a form would do, and asks.
type reviewPage struct {
	frame

	Action, Button, Store, ID, Method string
	From, To                          string
	Effects                           []string
	RunsAgain                         bool
	By, Reason                        string
	Answer                            secret
	// Fields bring the form back.
	Fields []field
}

type field struct{ Name, Value string }

func (h *Handler) author(by string) author {
	if h.opts.By != nil {
		return author{By: by, Fixed: true}
	}

	return author{By: h.opts.Name}
}

func (h *Handler) settleForm(storeName, by string, rec *onlyonce.Record) *settleForm {
	t := &h.opts.Transport
	form := &settleForm{
		Author: h.author(by), Store: storeName, ID: rec.ID.String(),
		Seen:  h.sealer.seal(sighting{purposeSettle, storeName, by, rec}),
		Codes: t.Codes, MayFail: t.Fail != nil, MayRespond: t.Respond != nil, TooEarly: tooEarly(rec),
	}

	if t.ResponseForm != nil {
		form.ResponseForm = t.ResponseForm(rec.Method)
	}

	return form
}

func (h *Handler) forgetForm(storeName, by string, rec *onlyonce.Record) *forgetForm {
	return &forgetForm{
		Author: h.author(by), Store: storeName, ID: rec.ID.String(),
		Seen: h.sealer.seal(sighting{purposeForget, storeName, by, rec}), TooEarly: tooEarly(rec),
	}
}

// tooEarly is until when a run may still be working, or zero.
func tooEarly(rec *onlyonce.Record) moment {
	if !rec.OwnerMayBeAlive(rec.LookedUpAt) {
		return moment{}
	}

	until := rec.OwnerAliveUntil
	if rec.State == store.Running && rec.LeaseUntil.After(until) {
		until = rec.LeaseUntil
	}

	return moment{at: until, now: rec.LookedUpAt}
}

func (h *Handler) settle(w http.ResponseWriter, r *http.Request) { h.write(w, r, purposeSettle) }
func (h *Handler) forget(w http.ResponseWriter, r *http.Request) { h.write(w, r, purposeForget) }

// write handles both forms: it checks them, shows what they would do, and does it once somebody has confirmed.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, purpose string) {
	if !h.maySettle(r) {
		h.problem(w, r, http.StatusForbidden, "Settling is off", "This console only shows. Nothing was changed.")

		return
	}

	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		h.problem(w, r, http.StatusBadRequest, "The form cannot be read", err.Error())

		return
	}

	from, rec, err := h.find(r)
	if err != nil {
		h.fail(w, r, err)

		return
	}

	shown, ok := h.sealer.open(r.PostFormValue("seen"), sighting{purpose, from.Name, h.by(r), &rec})
	if !ok {
		h.changed(w, r, from, &rec)

		return
	}

	decision, problem := h.decision(r, purpose, rec.Method)
	if problem == nil {
		problem = operate.Plan(shown, decision).Refused
	}

	switch {
	case problem != nil:
		h.again(w, r, from, &shown, purpose, problem)
	case r.PostFormValue("confirmed") != "yes":
		h.review(w, r, from, operate.Plan(shown, decision))
	default:
		h.carryOut(w, r, from, operate.Plan(shown, decision))
	}
}

// decision is what a form decides. The error is for the person who has filled it in.
func (h *Handler) decision(r *http.Request, purpose, method string) (operate.Decision, error) {
	by := h.by(r)
	if h.opts.By == nil {
		by = strings.TrimSpace(r.PostFormValue("by"))
	}

	reason := strings.TrimSpace(r.PostFormValue("reason"))

	if err := errors.Join(checkText("name", by), checkText("reason", reason)); err != nil {
		return operate.Decision{}, err
	}

	if purpose == purposeForget {
		return operate.Decision{Verdict: operate.Forget, Who: by, Reason: reason}, nil
	}

	found, err := h.finding(r, method)
	if err != nil {
		return operate.Decision{}, err
	}

	if r.PostFormValue("found") == foundNotHappened {
		return operate.Decision{Verdict: operate.DidNotHappen, Who: by, Reason: reason}, nil
	}

	return operate.Answer(found, by, reason), nil
}

func (h *Handler) finding(r *http.Request, method string) (onlyonce.Finding, error) {
	t := &h.opts.Transport

	switch found := r.PostFormValue("found"); {
	case found == foundNotHappened:
		return onlyonce.DidNotHappen(), nil
	case found == foundFailed && t.Fail != nil:
		return t.Fail(method, r.PostFormValue("code"), r.PostFormValue("message"))
	case found == foundAnswered && t.Respond != nil:
		return t.Respond(method, r.PostFormValue("response"))
	default:
		return onlyonce.Finding{}, errors.New("choose what has happened")
	}
}

// checkText reports why a text cannot be kept in a record.
func checkText(name, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("give a %s: the record keeps it", name)
	case len(text) > maxWho:
		return fmt.Errorf("the %s has %d bytes: the record keeps %d", name, len(text), maxWho)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the %s has characters that cannot be printed, such as line breaks", name)
	default:
		return nil
	}
}

// again shows the form once more, with what was filled in and why it was not accepted. It is still about the record as the first page has
// shown it: the person has looked for the effect after that page, and perhaps before this one.
func (h *Handler) again(w http.ResponseWriter, r *http.Request, from *source, shown *onlyonce.Record, purpose string, problem error) {
	page := h.recordPage(r, from, shown, nil)
	page.Problem = h.text(problem)

	reason, forgets := r.PostFormValue("reason"), purpose == purposeForget

	if form := page.Settle; form != nil && !forgets {
		form.Found, form.Code = r.PostFormValue("found"), r.PostFormValue("code")
		form.Message, form.Respond = r.PostFormValue("message"), r.PostFormValue("response")
		form.Author.Reason = reason

		if !form.Author.Fixed {
			form.Author.By = r.PostFormValue("by")
		}
	}

	if form := page.Forget; form != nil && forgets {
		form.Author.Reason, form.Open = reason, true

		if !form.Author.Fixed {
			form.Author.By = r.PostFormValue("by")
		}
	}

	h.render(w, http.StatusUnprocessableEntity, "record", page)
}

// review shows what a settlement would do.
func (h *Handler) review(w http.ResponseWriter, r *http.Request, from *source, plan operate.Settlement) {
	rec, decision := &plan.Record, &plan.Decision
	page := &reviewPage{
		frame: h.frame(r, "Do you want this?"), Store: from.Name, ID: rec.ID.String(), Method: rec.Method,
		From: stateOf(rec), To: string(plan.To), Effects: plan.Effects, RunsAgain: plan.RunsAgain,
		By: decision.Who, Reason: decision.Reason, Action: purposeSettle, Button: "Settle the record",
	}

	if plan.To == operate.StateAbsent {
		page.Action, page.Button = purposeForget, "Forget the record"
	}

	if decision.Verdict == operate.Happened {
		text, err := h.opts.Transport.answer(rec.Method, decision.Code, decision.Body)
		page.Answer = secret{Name: decision.Code, Text: text}

		if err != nil {
			page.Answer.Problem = err.Error()
		}
	}

	for _, name := range []string{paramStore, paramID, "seen", "found", "code", "message", "response", "by", "reason"} {
		if r.PostForm.Has(name) {
			page.Fields = append(page.Fields, field{name, r.PostFormValue(name)})
		}
	}

	h.render(w, http.StatusOK, "review", page)
}

// carryOut settles the record, and shows it as it is then.
func (h *Handler) carryOut(w http.ResponseWriter, r *http.Request, from *source, plan operate.Settlement) {
	err := operate.Settle(r.Context(), from.Engine, plan)
	from.changed()

	switch {
	case err == nil && plan.To == operate.StateAbsent:
		h.render(w, http.StatusOK, "problem", &problemPage{
			frame: h.frame(r, "Forgotten"), Detail: "The record is removed. The next call with its key runs.",
		})
	case err == nil:
		redirect(w, recordURL(from.Name, plan.Record.ID.String()))
	case errors.Is(err, onlyonce.ErrRecordChanged), errors.Is(err, onlyonce.ErrNotUnknown):
		h.changed(w, r, from, &plan.Record)
	case errors.Is(err, onlyonce.ErrOwnerMayBeAlive):
		h.refuse(w, r, from, &plan.Record, "It is too early", err.Error())
	default:
		h.refuse(w, r, from, &plan.Record, "The store did not acknowledge", h.text(err)+
			". Nobody knows whether the record was changed: look at it before you try again.")
	}
}

// changed is the page for a form that is not about the record as it is.
func (h *Handler) changed(w http.ResponseWriter, r *http.Request, from *source, rec *onlyonce.Record) {
	h.refuse(w, r, from, rec, "The record has changed",
		"The record is not as the page has shown it, or the page is of an earlier run of this program. "+
			"Nothing was changed. Look at the record again, and decide again.")
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, from *source, rec *onlyonce.Record, title, detail string) {
	h.render(w, http.StatusConflict, "problem", &problemPage{
		frame: h.frame(r, title), Detail: detail, Back: recordURL(from.Name, rec.ID.String()),
	})
}
