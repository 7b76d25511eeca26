package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
)

// shortID is the number of ID digits in a table. leastID is the minimum number of digits in an argument.
const (
	shortID = 12
	leastID = 6
)

// isGRPC reports whether a method has the gRPC form "/package.Service/Method".
func isGRPC(method string) bool {
	service, name, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")

	return ok && strings.HasPrefix(method, "/") && service != "" && name != "" && !strings.Contains(name, "/")
}

// find returns the record with an ID, or with an ID prefix.
func find(ctx context.Context, engine *onlyonce.Engine, text string) (onlyonce.Record, error) {
	text = strings.ToLower(text)

	if len(text) == hex.EncodedLen(len(store.Key{})) {
		id, err := store.ParseKey(text)
		if err != nil {
			return onlyonce.Record{}, usagef("%v", err)
		}

		return engine.LookupID(ctx, id)
	}

	if len(text) < leastID || strings.Trim(text, "0123456789abcdef") != "" {
		return onlyonce.Record{}, usagef("%q is not an ID: give %d to 64 hexadecimal digits, as onlyonce list prints them", text, leastID)
	}

	return findByPrefix(ctx, engine, text)
}

// findByPrefix returns the unsettled record with an ID prefix.
func findByPrefix(ctx context.Context, engine *onlyonce.Engine, prefix string) (onlyonce.Record, error) {
	var found []store.Key

	for _, list := range []func(context.Context) func(func(onlyonce.Record, error) bool){
		func(ctx context.Context) func(func(onlyonce.Record, error) bool) { return engine.ListUnknown(ctx) },
		func(ctx context.Context) func(func(onlyonce.Record, error) bool) { return engine.ListRunning(ctx) },
	} {
		for rec, err := range list(ctx) {
			if err != nil && !isAboutOne(err) {
				return onlyonce.Record{}, err
			}

			if strings.HasPrefix(rec.ID.String(), prefix) && (len(found) == 0 || found[len(found)-1] != rec.ID) {
				found = append(found, rec.ID)
			}
		}
	}

	switch len(found) {
	case 0:
		return onlyonce.Record{}, fmt.Errorf("no unsettled record in the list has an ID that begins with %s: "+
			"give all 64 digits, or --key and --method", prefix)
	case 1:
		return engine.LookupID(ctx, found[0])
	default:
		return onlyonce.Record{}, fmt.Errorf("%d records have an ID that begins with %s: give more digits", len(found), prefix)
	}
}

// errNoRecord is the error for a record that is not in the store.
func errNoRecord(id store.Key) error {
	return fmt.Errorf("no record %v: it does not exist, has expired, or is in another store; with --key, check --method, --scope and "+
		"--scope-field", id)
}

// isAboutOne reports whether a list error concerns a single record.
func isAboutOne(err error) bool {
	return errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer)
}

// recordView is the JSON form of a record. Times are on the store's clock, in RFC 3339. Durations are in seconds. Missing values are left
// out.
type recordView struct {
	ID               string   `json:"id"`
	Method           string   `json:"method,omitempty"`
	Key              string   `json:"key,omitempty"` // only with --show-key
	State            string   `json:"state"`
	Unknown          bool     `json:"unknown"`
	Code             string   `json:"code,omitempty"`
	Since            string   `json:"since,omitempty"`
	Age              float64  `json:"age_seconds"`
	Guarantee        string   `json:"guarantee"`
	Fence            uint64   `json:"fence"`
	Attempts         uint32   `json:"attempts"`
	FirstStart       string   `json:"first_start,omitempty"`
	LastStart        string   `json:"last_start,omitempty"`
	EndedAt          string   `json:"ended_at,omitempty"`
	LeaseUntil       string   `json:"lease_until,omitempty"`
	OwnerAliveUntil  string   `json:"owner_alive_until,omitempty"`
	ExpiresAt        string   `json:"expires_at,omitempty"`
	Retention        float64  `json:"retention_seconds"`
	Doubtful         bool     `json:"doubtful"`
	SettledBy        string   `json:"settled_by,omitempty"`
	Reason           string   `json:"reason,omitempty"`
	Trace            string   `json:"trace,omitempty"`
	LookedUpAt       string   `json:"looked_up_at,omitempty"`
	RequestBytes     int      `json:"request_bytes"`
	AnswerBytes      int      `json:"answer_bytes"`
	AnswerTooLarge   bool     `json:"answer_too_large"`
	Request          *payload `json:"request,omitempty"` // only with --payload
	Answer           *payload `json:"answer,omitempty"`
	ResolvedByOthers bool     `json:"resolved"`
}

// view returns the JSON form of a record, with its key only if showKey is set.
func view(rec *onlyonce.Record, showKey bool) recordView {
	v := recordView{
		ID: rec.ID.String(), Method: rec.Method, State: string(operate.StateOf(rec)), Unknown: rec.Unknown, Code: rec.Code,
		Since: moment(operate.Since(rec)), Age: operate.Age(rec).Seconds(), Guarantee: rec.Guarantee.String(), Fence: rec.Fence,
		Attempts: rec.Attempts, FirstStart: moment(rec.FirstStart), LastStart: moment(rec.LastStart), EndedAt: moment(rec.EndedAt),
		ExpiresAt: moment(rec.ExpiresAt), Retention: rec.Retention.Seconds(), Doubtful: rec.Doubtful, SettledBy: rec.SettledBy,
		Reason: rec.Reason, Trace: rec.Trace, LookedUpAt: moment(rec.LookedUpAt), RequestBytes: len(rec.Request),
		AnswerBytes: len(rec.Body), AnswerTooLarge: rec.NotStored, ResolvedByOthers: rec.Resolved,
	}

	if rec.State == store.Running {
		v.LeaseUntil = moment(rec.LeaseUntil)
	}

	if rec.State != store.Completed {
		v.OwnerAliveUntil = moment(rec.OwnerAliveUntil)
	}

	if showKey {
		v.Key = rec.ReadableKey
	}

	return v
}

// describe prints a record for people.
func (a *app) describe(rec *onlyonce.Record, showKey bool) {
	key := "hidden; --show-key prints it"

	switch {
	case rec.ReadableKey == "":
		key = "not stored"
	case showKey:
		key = escaped(rec.ReadableKey)
	}

	a.fields(
		[2]string{"Record", rec.ID.String()},
		[2]string{"Method", escaped(rec.Method)},
		[2]string{"Key", key},
		[2]string{"State", a.stateText(rec)},
		[2]string{"Code", escaped(rec.Code)},
		[2]string{"Guarantee", rec.Guarantee.String()},
		[2]string{"Runs", fmt.Sprintf("%d, fence %d", rec.Attempts, rec.Fence)},
		[2]string{"First start", moment(rec.FirstStart)},
		[2]string{"Last start", moment(rec.LastStart)},
		[2]string{"Ended", moment(rec.EndedAt)},
		[2]string{"Owner", ownerText(rec)},
		[2]string{"Expires", expiryText(rec)},
		[2]string{"Doubtful", doubtText(rec)},
		[2]string{"Settled by", settledText(rec)},
		[2]string{"Trace", escaped(rec.Trace)},
	)
}

func (a *app) stateText(rec *onlyonce.Record) string {
	state := operate.StateOf(rec)
	text := string(state)

	if age := operate.Age(rec); age > 0 {
		text += " for " + span(age)
	}

	if rec.Unknown {
		text += ": the outcome is unknown"
	}

	return text
}

// ownerText describes whether the owner may be alive.
func ownerText(rec *onlyonce.Record) string {
	switch {
	case rec.LeaseAlive(rec.LookedUpAt):
		return "holds the lease until " + moment(rec.LeaseUntil)
	case rec.OwnerMayBeAlive(rec.LookedUpAt):
		text := fmt.Sprintf("may be alive until %s, in %s", moment(rec.OwnerAliveUntil), span(rec.OwnerAliveUntil.Sub(rec.LookedUpAt)))
		if rec.Unknown {
			text += "; until then, \"did not happen\" is refused"
		}

		return text
	case rec.Unknown:
		return "certainly dead"
	default:
		return ""
	}
}

func expiryText(rec *onlyonce.Record) string {
	if rec.ExpiresAt.IsZero() {
		return fmt.Sprintf("%s after it is settled", span(rec.Retention))
	}

	return fmt.Sprintf("%s, in %s", moment(rec.ExpiresAt), span(rec.ExpiresAt.Sub(rec.LookedUpAt)))
}

func doubtText(rec *onlyonce.Record) string {
	if !rec.Doubtful {
		return ""
	}

	return "an earlier run may have had an effect"
}

func settledText(rec *onlyonce.Record) string {
	if rec.SettledBy == "" {
		if rec.Resolved {
			return "somebody other than the owner"
		}

		return ""
	}

	text := escaped(rec.SettledBy)
	if rec.Reason != "" {
		text += ": " + escaped(rec.Reason)
	}

	return text
}

// payload is a request or an answer to print.
type payload struct {
	// Code and Message are only for answers.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// Line is the method and the target of an HTTP request.
	Line string `json:"line,omitempty"`
	// JSON is the message if its type is known. Otherwise Bytes is the message.
	JSON    jsonText            `json:"json,omitempty"`
	Bytes   []byte              `json:"base64,omitempty"`
	Header  map[string][]string `json:"header,omitempty"`
	Trailer map[string][]string `json:"trailer,omitempty"`
}

// jsonText is valid JSON.
type jsonText string

// MarshalJSON implements [encoding/json.Marshaler].
func (j jsonText) MarshalJSON() ([]byte, error) { return []byte(j), nil } //nolint:unparam // a Marshaler has it

// requestOf returns the stored request, or nil.
func requestOf(rec *onlyonce.Record, types *messageTypes) (*payload, error) {
	if len(rec.Request) == 0 {
		return nil, nil //nolint:nilnil // no request is no error
	}

	if isHTTP(rec.Method) {
		return httpRequest(rec), nil
	}

	return types.request(rec.Method, rec.Request)
}

// answerOf returns the stored answer, or nil.
func answerOf(rec *onlyonce.Record, types *messageTypes) (*payload, error) {
	if rec.State != store.Completed || rec.NotStored {
		return nil, nil //nolint:nilnil // no answer is no error
	}

	switch {
	case isHTTP(rec.Method):
		return httpAnswer(rec), nil
	case !isGRPC(rec.Method):
		return &payload{Code: rec.Code, Bytes: rec.Body}, nil
	}

	answer, ok, err := interceptor.DecodeRecord(*rec)
	if err != nil {
		return nil, fmt.Errorf("the answer is damaged, or Engine.Do recorded it and not gRPC: %w", err)
	}

	if !ok {
		return &payload{Code: rec.Code, Bytes: rec.Body}, nil
	}

	p := &payload{Code: rec.Code, Message: answer.Status.Message()}
	if rec.Code == "OK" {
		if p, err = types.response(rec.Method, answer.Response); err != nil {
			return nil, err
		}

		p.Code = rec.Code
	}

	p.Header, p.Trailer = answer.Header, answer.Trailer

	return p, nil
}

// printPayload prints a payload for people.
func (a *app) printPayload(name string, p *payload) {
	if p == nil {
		return
	}

	a.printf("")
	a.printf("%s", a.paint(bold, strings.TrimSpace(name+" "+escaped(p.Code))))

	for _, text := range []string{p.Message, p.Line} {
		if text != "" {
			a.printf("%s", escaped(text))
		}
	}

	for _, md := range []map[string][]string{p.Header, p.Trailer} {
		for _, key := range slices.Sorted(maps.Keys(md)) {
			for _, value := range md[key] {
				a.printf("%s: %s", escaped(key), escaped(value))
			}
		}
	}

	switch {
	case p.JSON != "":
		a.printf("%s", a.clean(string(p.JSON)))
	case len(p.Bytes) > 0 && utf8.Valid(p.Bytes):
		a.printf("%s", escaped(string(p.Bytes)))
	case len(p.Bytes) > 0:
		a.printf("%s", strings.TrimRight(hex.Dump(p.Bytes), "\n"))
	}
}

// kept describes the stored request and answer without showing them.
func kept(rec *onlyonce.Record) string {
	var parts []string

	if n := len(rec.Request); n > 0 {
		parts = append(parts, fmt.Sprintf("a request of %d bytes", n))
	}

	switch {
	case rec.NotStored:
		parts = append(parts, "an answer that was too large to store")
	case rec.State == store.Completed:
		parts = append(parts, fmt.Sprintf("an answer of %d bytes", len(rec.Body)))
	}

	if len(parts) == 0 {
		return ""
	}

	return "The record has " + strings.Join(parts, " and ") + "; --payload prints the content."
}
