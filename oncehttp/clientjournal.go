package oncehttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/journal"
)

// WithJournal writes every protected request to a journal before its first attempt, so that Resume can finish it after a crash. The
// default, and nil, is no journal.
//
//   - The journal has the HTTP method, the URL without a user, these headers, the body, the key, the deadline and the server. The headers
//     are Accept, Accept-Language, Content-Type, Content-Encoding, Content-Language, Idempotency-Key and those that are named here. Name
//     the headers by which the servers tell requests apart. A header with credentials is written only if it is named: see WithResumed.
//   - A request that cannot be written is not sent. Its verdict is VerdictNotExecuted, and its error matches the journal's, such as
//     journal.ErrFull. If the error matches journal.ErrUncertain or journal.ErrLeft, the verdict is VerdictUnknown.
//   - A request whose answer is final is removed when the body of the answer was read to its end, or was closed. A request whose outcome is
//     unknown stays. So does a request whose answer the program closes early, if the server sends that answer while the handler runs.
//   - The whole body of a request is in memory while it is written. So a body without GetBody can be sent again, too.
func WithJournal(j *journal.Journal, headers ...string) ClientOption {
	return func(t *Transport) {
		t.journal = j
		t.journaled = append(journaledByDefault(), headers...)
	}
}

// WithResumed sets a function that completes each request that Resume sends, for example with credentials. Use the credentials of the
// first attempt: a server keeps the keys of its callers apart, and runs the request of another caller again. An error of the function
// leaves the request in the journal. The default, and nil, is no function. The function must be safe for concurrent use.
func WithResumed(complete func(r *http.Request) error) ClientOption {
	return func(t *Transport) { t.complete = complete }
}

// Resume sends the requests that the journal of WithJournal has for a server, such as "https://shop.test", with their keys: see
// [journal.Journal.Resume]. The method of an entry is the HTTP method and the route, as in "POST /payments": see WithRouteName. The
// response of an answer is an *http.Response whose body is in memory.
//
//   - A request that was left may have run. So it is sent only to a server that protects its route: WithPresumed declares it, or an answer
//     to this Transport has confirmed it. Other requests are left.
//   - Requests are retried as the options of the Transport say. No attempt begins after the retention of WithRetention, counted from the
//     first attempt of the earlier process.
//   - After journal.WithTarget, the requests to the old server are sent to the server that is given here.
//   - Redirects are not followed: a request that is redirected stays in the journal. There are no cookies. Headers that are not in the
//     journal come from WithResumed, or from the RoundTripper below.
func (t *Transport) Resume(ctx context.Context, server string, opts ...journal.ResumeOption) (journal.Summary, error) {
	if t.journal == nil {
		return journal.Summary{}, errors.New("oncehttp: Resume: the Transport has no journal: give WithJournal")
	}

	at, err := url.Parse(server)
	if err != nil || at.Scheme == "" || at.Host == "" {
		return journal.Summary{}, fmt.Errorf("oncehttp: Resume: %q is no server: give scheme and host, as in https://shop.test", server)
	}

	opts = slices.Concat([]journal.ResumeOption{journal.WithRetention(t.retention)}, opts)

	send := func(ctx context.Context, entry journal.Entry) (any, error) { return t.resume(ctx, at, entry) }

	return t.journal.Resume(ctx, serverOf(at), journal.SenderFunc(send), opts...)
}

// journaledByDefault are the headers of a request that a journal has.
func journaledByDefault() []string {
	return []string{"Accept", "Accept-Language", contentType, contentEncoding, "Content-Language", KeyHeader} // the server may need its quotes
}

// serverOf is the target of an entry: one text for all spellings of a server.
func serverOf(u *url.URL) string {
	host := strings.ToLower(u.Host)

	switch u.Scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}

	return u.Scheme + "://" + host
}

// write writes the call to the journal. It returns nil if there is no journal.
func (c *clientCall) write() (*journal.Call, error) {
	t := c.transport
	if t.journal == nil {
		return nil, nil //nolint:nilnil // no journal is no error
	}

	body, err := c.keepBody()
	if err != nil {
		return nil, &callError{err: err, key: c.key, verdict: onlyonce.VerdictNotExecuted}
	}

	entry := journal.Entry{
		Method: c.request.Method + " " + t.route(c.request), Key: c.key, Target: serverOf(c.request.URL),
		Request: encodeJournaled(c.request, newHeaderSet(t.journaled...), body), Written: time.Now().Add(-c.age),
	}
	entry.Deadline, _ = c.request.Context().Deadline()

	call, err := t.journal.Begin(c.request.Context(), entry)
	if err != nil {
		verdict := onlyonce.VerdictNotExecuted
		if errors.Is(err, journal.ErrUncertain) || errors.Is(err, journal.ErrLeft) { // Resume may send the request
			verdict = onlyonce.VerdictUnknown
		}

		return nil, &callError{err: err, key: c.key, verdict: verdict}
	}

	return call, nil
}

// keepBody returns the body of the request, and leaves the call with a request that has it.
func (c *clientCall) keepBody() ([]byte, error) {
	r := c.request

	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}

	from := r.Body

	if r.GetBody != nil {
		again, err := r.GetBody()
		if err != nil {
			return nil, fmt.Errorf("oncehttp: WithJournal: reading the body of the request: %w", err)
		}

		from = again
	}

	body, err := io.ReadAll(io.LimitReader(from, mostMaxRequest+1))
	_ = from.Close()

	switch {
	case err != nil:
		return nil, fmt.Errorf("oncehttp: WithJournal: reading the body of the request: %w", err)
	case len(body) > mostMaxRequest:
		return nil, fmt.Errorf("oncehttp: WithJournal: the body of the request has more than %d bytes: %w", mostMaxRequest, journal.ErrFull)
	case r.ContentLength > 0 && r.ContentLength != int64(len(body)): // net/http would not send it
		return nil, fmt.Errorf("oncehttp: WithJournal: the body of the request has %d bytes, and ContentLength is %d", len(body), r.ContentLength)
	}

	if r.GetBody == nil {
		own := r.WithContext(r.Context()) // a copy: the request is the caller's
		own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		own.Body, _ = own.GetBody()
		c.request = own
	}

	return body, nil
}

// written ends a call in the journal, now or at the end of its answer.
func (c *clientCall) written(call *journal.Call, resp *http.Response, err error) (*http.Response, error) {
	ctx := c.request.Context()

	if err != nil {
		left := call.End(ctx, err)

		if own, ok := err.(*callError); ok && left != nil && own.verdict == onlyonce.VerdictNotExecuted { //nolint:errorlint // of do
			own.verdict = onlyonce.VerdictUnknown
			own.note += "; the request is still in the journal, so do not use a new key: " + left.Error()
		}

		return nil, err
	}

	end := func(failed error) {
		verdict := c.verdict()

		if failed == nil && verdict != onlyonce.VerdictFinal {
			failed = &callError{err: &answeredError{resp}, key: c.key, verdict: verdict}
		}

		if call.End(ctx, failed) != nil && verdict == onlyonce.VerdictNotExecuted {
			c.ambiguous = true // a later process may send the request
		}
	}

	// A caller that knows that nothing ran may use a new key before it has read the body.
	switch {
	case c.verdict() == onlyonce.VerdictNotExecuted, resp.ContentLength == 0, c.request.Method == http.MethodHead,
		resp.StatusCode == http.StatusSwitchingProtocols: // the connection is the caller's
		end(nil)
	default:
		resp.Body = &watchedBody{ReadCloser: resp.Body, running: c.running, end: end}
	}

	return resp, nil
}

// resume sends a request that an earlier process has left to a server.
func (t *Transport) resume(ctx context.Context, server *url.URL, entry journal.Entry) (any, error) {
	r, err := decodeJournaled(ctx, entry.Request)
	if err != nil {
		return nil, err
	}

	if at := serverOf(r.URL); at != entry.Target {
		return nil, fmt.Errorf("oncehttp: Resume: the journal has a request to %s as one to %s: the entry is damaged, so it is not sent",
			at, entry.Target)
	}

	if entry.Target != serverOf(server) {
		readdress(r, server)
	}

	if t.complete != nil {
		if err := t.complete(r); err != nil {
			return nil, fmt.Errorf("oncehttp: the function of WithResumed failed: %w", err)
		}
	}

	c := t.call(r, entry.Key)
	c.resumed, c.ambiguous, c.age = true, true, max(time.Since(entry.Written), 0)

	resp, err := c.do() //nolint:contextcheck // the request has it
	if err != nil {
		return nil, err
	}

	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()

	if err != nil {
		return nil, &callError{err: fmt.Errorf("oncehttp: reading the answer: %w", err), key: c.key, verdict: onlyonce.VerdictUnknown}
	}

	resp.Body = io.NopCloser(bytes.NewReader(body))

	switch {
	case c.sign.elsewhere(resp.StatusCode):
		err = fmt.Errorf("oncehttp: Resume: the server redirects the request to %q, and redirects are not followed: resume at the new server, "+
			"with journal.WithTarget(%q)", resp.Header.Get("Location"), entry.Target)
	case c.verdict() == onlyonce.VerdictFinal:
		return resp, nil
	case c.sign.reason != "":
		err = &onlyonce.Rejection{Reason: c.sign.reason, Message: c.sign.detail}
	default:
		err = &answeredError{resp}
	}

	return nil, &callError{err: err, key: c.key, verdict: onlyonce.VerdictUnknown, attempts: c.attempts}
}

// readdress changes the server of a request. A Host header that names another host than the URL stays.
func readdress(r *http.Request, server *url.URL) {
	if strings.EqualFold(r.Host, r.URL.Host) {
		r.Host = server.Host
	}

	r.URL.Scheme, r.URL.Host = server.Scheme, server.Host
}

// mayResume returns nil if a request that an earlier process may have sent may be sent again, or else the reason.
func (c *clientCall) mayResume() error {
	if !c.resumed || c.before.mayRetry(replyLost) {
		return nil
	}

	return fmt.Errorf("oncehttp: the server has not confirmed that it protects %s, and the request may have been sent before: "+
		"declare the route with WithPresumed if all servers have the kit", c.route)
}

// journaledVersion is the version of the form in which a journal has a request: version, method, URL, host, headers, body.
const journaledVersion = 1

// encodeJournaled returns the form in which a journal has a request.
func encodeJournaled(r *http.Request, headers headerSet, body []byte) []byte {
	at := *r.URL
	at.User = nil // it may be a password

	data := appendText([]byte{journaledVersion}, r.Method)
	data = appendText(data, at.String())
	data = appendText(data, r.Host)
	data = appendFields(data, headers.pick(r.Header))

	return append(data, body...)
}

// decodeJournaled returns a request that a journal has.
func decodeJournaled(ctx context.Context, data []byte) (*http.Request, error) {
	if len(data) == 0 || data[0] != journaledVersion {
		return nil, errors.New("oncehttp: Resume: the journal has a request of another form: it was written by another build, or not over HTTP")
	}

	in := reader{data: data[1:]}
	method, at, host, header := in.text(), in.text(), in.text(), in.header()

	if in.err != nil {
		return nil, fmt.Errorf("oncehttp: Resume: decoding a request in the journal: %w", in.err)
	}

	r, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(in.data))
	if err != nil {
		return nil, fmt.Errorf("oncehttp: Resume: a request in the journal: %w", err)
	}

	r.Host, r.Header = host, header

	return r, nil
}
