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
	maxForm = 8 << 20 // bytes of a form; a response may be long
	maxWho  = 255     // bytes that a record keeps of a name or a reason

	purposeSettle = "settle"
	purposeForget = "forget"
)

// The findings, as values of the form.
const (
	foundFailed      = "failed"
	foundAnswered    = "answered"
	foundNotHappened = "not-happened"
)

// author is the operator and the reason.
type author struct {
	// By is the name. Fixed reports that it is authenticated, so there is no field for it.
	By     string
	Fixed  bool
	Reason string
}

// settleForm is the form that settles a record, with its input.
type settleForm struct {
	Author author

	Store, ID, Seen               string
	Found, Code, Message, Respond string
	Codes                         []string
	// MayFail and MayRespond are abilities of the transport. ResponseForm describes how to write a response.
	MayFail, MayRespond bool
	ResponseForm        string
	// TooEarly is the time before which "it did not happen" is refused.
	TooEarly moment
}

// forgetForm is the form that removes a record.
type forgetForm struct {
	Author author

	Store, ID, Seen string
	TooEarly        moment
	// Open shows the form unfolded, because it was refused.
	Open bool
}

// reviewPage shows the planned change and asks for confirmation.
type reviewPage struct {
	frame

	Action, Button, Store, ID, Method string
	From, To                          string
	Effects                           []string
	RunsAgain                         bool
	By, Reason                        string
	Answer                            secret
	// Fields are the hidden fields with the input.
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

// tooEarly returns until when a run may be working, or zero.
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

// write handles both forms. It checks the input, shows the planned change, and carries it out after the confirmation.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, purpose string) {
	if !h.maySettle(r) {
		h.problem(w, r, http.StatusForbidden, "Settling is off", "You may not settle records on this console. Nothing was changed.")

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

// decision returns the decision of a form. The error is for the person.
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
		return onlyonce.Finding{}, errors.New("no finding: choose what has happened")
	}
}

// checkText reports why a record cannot keep a text.
func checkText(name, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("the %s is missing: fill it in", name)
	case len(text) > maxWho:
		return fmt.Errorf("the %s has %d bytes: shorten it to %d", name, len(text), maxWho)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the %s contains unprintable characters, such as line breaks: remove them", name)
	default:
		return nil
	}
}

// again shows the form again with its input and the reason for the refusal. It keeps the record as first shown: the person looked for the
// effect after that page.
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

// review shows the planned change.
func (h *Handler) review(w http.ResponseWriter, r *http.Request, from *source, plan operate.Settlement) {
	rec, decision := &plan.Record, &plan.Decision
	page := &reviewPage{
		frame: h.frame(r, "Confirm the change"), Store: from.Name, ID: rec.ID.String(), Method: rec.Method,
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

// carryOut settles the record and shows it.
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
		h.refuse(w, r, from, &plan.Record, "Too early", err.Error())
	default:
		h.refuse(w, r, from, &plan.Record, "The store did not acknowledge", h.text(err)+
			". The record may have changed: look at it before you try again.")
	}
}

// changed is the page for a form whose record has changed.
func (h *Handler) changed(w http.ResponseWriter, r *http.Request, from *source, rec *onlyonce.Record) {
	h.refuse(w, r, from, rec, "The record has changed",
		"Nothing was changed. The record is no longer as the page has shown it, or the console was restarted since. "+
			"Look at the record and decide again.")
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, from *source, rec *onlyonce.Record, title, detail string) {
	h.render(w, http.StatusConflict, "problem", &problemPage{
		frame: h.frame(r, title), Detail: detail, Back: recordURL(from.Name, rec.ID.String()),
	})
}
