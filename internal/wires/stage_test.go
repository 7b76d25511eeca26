package wires_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
)

// The metadata of the contract.
const (
	statusName    = "idempotency-status"
	replayedName  = "idempotent-replayed"
	executedName  = "idempotency-executed-at"
	retentionName = "idempotency-retention"
)

// stage is a server on a wire, and a client.
type stage struct {
	*testing.T
	*server

	wire *wire
	send func(ctx context.Context, c call) answer
}

func (w *wire) stage(t *testing.T, s setup) *stage {
	t.Helper()

	srv := newServer(t, s)

	return &stage{T: t, server: srv, wire: w, send: w.start(t, srv)}
}

// call sends a call. If the connection breaks without an answer, it sends the call again.
func (s *stage) call(c call) answer {
	const attempts = 3

	var a answer

	for range attempts {
		if a = s.send(s.Context(), c); a.broken == nil {
			return a
		}
	}

	return a
}

// pay sends a payment with a key.
func (s *stage) pay(keys ...string) answer { return s.call(call{text: "4711", keys: keys}) }

// background sends a call, and hands its answer out later.
func (s *stage) background(c call) <-chan answer {
	got := make(chan answer, 1)

	go func() { got <- s.call(c) }()

	return got
}

func (s *stage) mustHaveRun(want int64) {
	s.Helper()

	if got := s.runs.Load(); got != want {
		s.Errorf("the handler ran %d times, want %d", got, want)
	}
}

// status is the one status of an answer, which must be in its place.
func (s *stage) status(a *answer) onlyonce.Status {
	s.Helper()

	place := a.header

	switch s.wire.form {
	case formGRPC, formConnect:
		place = a.trailer
	case formGateway:
	case formHTTP:
		if len(place[statusName]) == 0 {
			place = a.trailer // the answer was sent while the handler wrote it
		}
	}

	if values := place[statusName]; len(values) == 1 && len(a.metadata(statusName)) == 1 {
		return onlyonce.Status(values[0])
	}

	s.Errorf("%s is not once in its place: %+v", statusName, *a)

	return ""
}

func (s *stage) mustBe(a answer, want onlyonce.Status) {
	s.Helper()

	if got := s.status(&a); got != want {
		s.Errorf("%s is %q, want %q: %+v", statusName, got, want, a)
	}
}

// mustSay checks the text of a response.
func (s *stage) mustSay(a answer, text string) {
	s.Helper()

	if !a.ok || a.text != text {
		s.Errorf("want the response %q: %+v", text, a)
	}
}

// mustHaveNoStatus checks that an answer does not speak of idempotency.
func (s *stage) mustHaveNoStatus(a answer) {
	s.Helper()

	for _, name := range []string{statusName, replayedName, executedName, retentionName} {
		if values := a.metadata(name); len(values) > 0 {
			s.Errorf("%s is %q: %+v", name, values, a)
		}
	}
}

// mustHave checks that an answer has a value of a header or a trailer of the handler.
func (s *stage) mustHave(a answer, name string) {
	s.Helper()

	if values := a.metadata(strings.ToLower(name)); len(values) != 1 {
		s.Errorf("%s is %q, want one value: %+v", name, values, a)
	}
}

// executedNow are the times that a run which ends now may have.
func executedNow() []string {
	now := time.Now().UTC()

	const most = 120 // seconds that a slow machine may need

	times := make([]string, 0, most)
	for second := range most {
		times = append(times, now.Add(-time.Duration(second)*time.Second).Format(time.RFC3339))
	}

	return times
}

// mustBeReplayOf checks an answer against the contract's rules for replays.
func (s *stage) mustBeReplayOf(a, first answer) {
	s.Helper()

	s.mustBe(a, onlyonce.StatusReplayed)

	if a.ok != first.ok || a.code != first.code || a.status != first.status || a.text != first.text || a.message != first.message ||
		a.details != first.details {
		s.Errorf("the replay is\n%+v, the first answer was\n%+v", a, first)
	}

	if got := a.metadata(executedName); len(got) != 1 || !slices.Contains(executedNow(), got[0]) {
		s.Errorf("%s is %q, want one time of now", executedName, got)
	}

	places := []map[string][]string{a.header}

	switch {
	case s.wire.form == formGRPC && a.ok, s.wire.form == formConnect && a.ok:
		places = append(places, a.trailer)
	case s.wire.form == formGRPC, s.wire.form == formConnect:
		places[0] = a.trailer
	}

	for _, place := range places {
		if got := place[replayedName]; !slices.Equal(got, []string{"true"}) {
			s.Errorf("%s is %q, want true: %+v", replayedName, got, a)
		}
	}

	for _, name := range []string{strings.ToLower(handlerHeader), strings.ToLower(handlerTrailer)} {
		was, is := first.metadata(name), a.metadata(name)
		if !slices.Equal(was, is) {
			s.Errorf("%s is %q, and was %q", name, is, was)
		}
	}
}

// rejection is a row of the contract's table.
type rejection struct {
	reason onlyonce.Reason
	code   codes.Code
	delay  time.Duration // before jitter; 0: trying again is of no use
	field  string        // that a BadRequest names; empty: none
	status int           // of HTTP, if it is another one than in the contract's table
	first  string        // the state of the first request in the metadata; empty: none
}

// mustBeRejected checks an answer against the contract's rules for rejections, and describes it as seen on the wire.
func (s *stage) mustBeRejected(a answer, want rejection) string {
	s.Helper()

	status := onlyonce.StatusRejected
	if want.reason == onlyonce.ReasonOutcomeUnknown {
		status = onlyonce.StatusUnknown
	}

	s.mustBe(a, status)

	if a.reason != string(want.reason) || a.ok {
		s.Errorf("the reason is %q, want %q: %+v", a.reason, want.reason, a)
	}

	if a.message == "" || strings.Contains(a.message, "\n") {
		s.Errorf("the message is no sentence: %+v", a)
	}

	for _, secret := range []string{"hunter2", "Ann"} {
		if strings.Contains(a.message, secret) {
			s.Errorf("the caller gets what only operators may know: %+v", a)
		}
	}

	if s.wire.form != formHTTP && s.wire.form != formGateway {
		s.mustHaveDetails(a, want)
	}

	if want.first != "" && a.facts["first"] != want.first {
		s.Errorf("first is %q, want %q: %+v", a.facts["first"], want.first, a)
	}

	s.mustAskToWait(a, want.delay)

	switch s.wire.form {
	case formGRPC:
		if a.hasFrame {
			s.Errorf("a rejection came behind a header of its own: %+v", a)
		}

		return codeName(a.code)
	case formConnect:
		return s.connectStatus(a)
	case formGateway, formHTTP:
		if expected := want.httpStatus(); a.status != expected {
			s.Errorf("the status is %d, want %d: %+v", a.status, expected, a)
		}

		s.mustBeProblem(a)
	}

	return strconv.Itoa(a.status)
}

func (r rejection) httpStatus() int {
	if r.status != 0 {
		return r.status
	}

	return httpStatusOf(r.reason)
}

// mustHaveDetails checks the code of an error, and its details.
func (s *stage) mustHaveDetails(a answer, want rejection) {
	s.Helper()

	if a.code != want.code || a.domain != "onlyonce" {
		s.Errorf("code %v and domain %q, want %v and onlyonce: %+v", a.code, a.domain, want.code, a)
	}

	details := 1

	if want.delay > 0 {
		details++
	}

	if want.field != "" {
		details++
	}

	if a.details != details || a.field != want.field {
		s.Errorf("%d details and BadRequest of %q, want %d and %q: %+v", a.details, a.field, details, want.field, a)
	}
}

// mustBeProblem checks the members of a problem.
func (s *stage) mustBeProblem(a answer) {
	s.Helper()

	if a.problem == nil || a.problem["status"] != strconv.Itoa(a.status) || a.problem["title"] == "" || a.problem["type"] == "" {
		s.Errorf("no problem as in RFC 9457: %+v", a)
	}
}

// mustAskToWait checks that an answer asks for a delay in every form that its wire has, or in none.
func (s *stage) mustAskToWait(a answer, about time.Duration) {
	s.Helper()

	if about == 0 {
		if len(a.asked) > 0 {
			s.Errorf("asks to wait %v: %+v", a.asked, a)
		}

		return
	}

	forms := map[form][]string{
		formGRPC: {"RetryInfo", "grpc-retry-pushback-ms"}, formConnect: {"RetryInfo", "grpc-retry-pushback-ms"},
		formGateway: {"Retry-After"}, formHTTP: {"Retry-After"},
	}[s.wire.form]

	for _, form := range forms {
		got, ok := a.asked[form]
		if slack := time.Second; !ok || got < about/2 || got > about+about/2+slack { // whole seconds, rounded up
			s.Errorf("%s is %v, want %v, half more or less: %+v", form, got, about, a)
		}
	}
}

// codeName is the name of a code as the contract writes it.
func codeName(code codes.Code) string {
	names := map[codes.Code]string{codes.OK: "OK", codes.Canceled: "CANCELLED"}
	if name, ok := names[code]; ok {
		return name
	}

	var name strings.Builder

	for i, c := range code.String() {
		if i > 0 && c >= 'A' && c <= 'Z' {
			name.WriteByte('_')
		}

		name.WriteString(strings.ToUpper(string(c)))
	}

	return name.String()
}

// connectStatus is an error of Connect: a code, and the status of HTTP that the protocol gives it.
func (s *stage) connectStatus(a answer) string {
	if a.status == 0 {
		return codeName(a.code)
	}

	return codeName(a.code) + ", " + strconv.Itoa(a.status)
}
