package oncehttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// delivery is the state of the answer of a handler.
type delivery uint8

const (
	collected delivery = iota // nothing was sent
	streamed                  // the header was sent, and every write is
	hijacked                  // the connection belongs to the handler
)

// recorder is the http.ResponseWriter of one run. It collects the answer. An answer that is flushed, or has more than most bytes, is sent
// while the handler writes it.
type recorder struct {
	to      http.ResponseWriter // the client's
	head    bool                // the request is a HEAD
	old     bool                // the request has HTTP/1.0, which has no trailers
	whole   bool                // nothing may be sent before the run is recorded
	most    int                 // bytes of a body that is collected
	trailed []string            // the trailers of an answer that is sent at once
	kept    headerSet           // the headers that are recorded

	header http.Header // the handler's; nil: empty so far

	deadlines sync.Mutex // a write that waits for the client has mu, and a deadline may be to end it

	mu       sync.Mutex
	closed   bool // written with both locks, and read with one of them
	delivery delivery
	status   int     // 0: not written yet
	heading  heading // as it was when the status was written
	trailer  []field // as it is when the answer is closed
	declared int64   // the Content-Length of the handler; -1: none
	written  int64
	body     []byte
	gone     bool // the client has gone
	gaveUp   bool // the handler has returned without an answer, because the context of its run had ended

	space headingSpace
}

var (
	errClosed = errors.New("oncehttp: the handler has returned, and its answer is complete")
	errWhole  = errors.New("oncehttp: the handler shares a transaction with its record, so nothing may be sent before the commit")
)

// begin makes the recorder ready for a run of a call. Its header is that of the client's writer so far.
func (w *recorder) begin(c *call) {
	w.to, w.head, w.old = c.w, c.r.Method == http.MethodHead, !c.r.ProtoAtLeast(1, 1)
	w.whole, w.most, w.trailed, w.kept = c.route.exactly, c.route.policy.MaxOutcome, c.route.trailed, c.server.recorded
	w.declared = -1

	if before := c.w.Header(); len(before) > 0 {
		w.header = before.Clone()
	}
}

// Header returns the header of the answer.
func (w *recorder) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}

	return w.header
}

// WriteHeader notes the status and the header. Informational answers are sent at once.
func (w *recorder) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.writeHeader(status)
}

func (w *recorder) writeHeader(status int) {
	if status < http.StatusContinue || status > highestStatus {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http does
	}

	if w.closed || w.status != 0 || w.delivery == hijacked {
		return
	}

	if status < lowestFinal && status != http.StatusSwitchingProtocols {
		w.inform(status)

		return
	}

	w.status, w.heading = status, w.kept.heading(w.header, &w.space)

	if length := w.header.Get(contentLength); length != "" {
		if n, err := strconv.ParseInt(length, 10, 64); err == nil && n >= 0 {
			w.declared = n
		}
	}
}

// inform sends an informational answer with the header so far. 100 is left out: the body of the request has been read.
func (w *recorder) inform(status int) {
	if status == http.StatusContinue {
		return
	}

	own := w.to.Header()
	before := own.Clone()

	clear(own)
	maps.Copy(own, w.Header())
	w.to.WriteHeader(status)
	clear(own)
	maps.Copy(own, before)
}

// Write collects bytes of the body, or sends them.
func (w *recorder) Write(p []byte) (int, error) { return write(w, p) }

// WriteString is Write.
func (w *recorder) WriteString(s string) (int, error) { return write(w, s) }

// write does not copy a string that is collected.
func write[Bytes []byte | string](w *recorder, p Bytes) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	switch {
	case w.closed:
		return 0, errClosed
	case w.delivery == hijacked:
		return 0, http.ErrHijacked
	case w.status == 0:
		w.writeHeader(http.StatusOK)
	}

	switch {
	case w.head:
		w.written += int64(len(p))
		w.body = append(w.body, p[:min(len(p), sniffed-min(sniffed, len(w.body)))]...)

		return len(p), nil
	case noBody(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.declared >= 0 && w.written+int64(len(p)) > w.declared:
		return 0, http.ErrContentLength
	}

	w.written += int64(len(p))

	if w.delivery == collected {
		if w.whole || len(w.body)+len(p) <= w.most {
			w.body = append(w.body, p...)

			return len(p), nil
		}

		w.stream()
	}

	w.forward([]byte(p))

	return len(p), nil
}

// stream sends the header and the body so far. The status of the request comes in the trailers.
func (w *recorder) stream() {
	w.delivery = streamed

	own := w.to.Header()
	clear(own)

	for _, f := range w.heading.fields {
		if !strings.HasPrefix(f.name, http.TrailerPrefix) { // these trailers come at the end, without those of the contract
			own[f.name] = f.values
		}
	}

	if !noBody(w.status) {
		if !w.old { // the length shows a client of HTTP/1.0 that the answer is whole
			own.Del(contentLength) // an answer of HTTP/1.1 with a length has no trailers
		}

		own[trailerName] = slices.Concat(notOfContract(own[trailerName]), w.trailed)
	}

	w.to.WriteHeader(w.status)
	w.forward(w.body)
	w.body = nil
}

// notOfContract returns the declared trailers of a handler, without the trailers of the contract.
func notOfContract(lines []string) []string {
	var names []string

	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.Trim(name, " \t"); name != "" && !ofContract(name) {
				names = append(names, name)
			}
		}
	}

	return names
}

// forward sends bytes. It reports no error after the client has left, because the run continues.
func (w *recorder) forward(p []byte) {
	if w.gone || len(p) == 0 {
		return
	}

	if _, err := w.to.Write(p); err != nil {
		w.gone = true
	}
}

// Flush is FlushError.
func (w *recorder) Flush() { _ = w.FlushError() }

// FlushError sends the answer so far. It does nothing if the handler shares a transaction with its record, and for an answer without a
// body. It fails if the client's writer cannot flush, and the answer is collected further.
func (w *recorder) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()

	switch {
	case w.closed:
		return errClosed
	case w.delivery == hijacked:
		return http.ErrHijacked
	case !w.whole && !httprules.CanFlush(w.to):
		return http.ErrNotSupported
	case w.status == 0:
		w.writeHeader(http.StatusOK)
	}

	if w.whole || w.head || noBody(w.status) {
		return nil
	}

	if w.delivery == collected {
		w.stream()
	}

	if err := http.NewResponseController(w.to).Flush(); err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}

		w.gone = true
	}

	return nil
}

// Hijack gives the connection to the handler. It fails if the handler shares a transaction with its record.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	switch {
	case w.closed:
		return nil, nil, errClosed
	case w.whole:
		return nil, nil, fmt.Errorf("%w: %w", errWhole, errors.ErrUnsupported)
	}

	if w.status != 0 && w.delivery == collected && httprules.CanHijack(w.to) {
		w.stream() // as net/http does: libraries for WebSockets write the status before they take the connection
	}

	conn, buf, err := http.NewResponseController(w.to).Hijack()
	if err == nil {
		w.delivery = hijacked
	}

	return conn, buf, err
}

// CloseNotify returns a channel that never gets a value: a run goes on when its client leaves. Context.Stream of gin needs it.
func (w *recorder) CloseNotify() <-chan bool { return make(chan bool) }

// SetReadDeadline sets the deadline of the connection.
func (w *recorder) SetReadDeadline(t time.Time) error {
	return w.deadline((*http.ResponseController).SetReadDeadline, t)
}

// SetWriteDeadline sets the deadline of the connection.
func (w *recorder) SetWriteDeadline(t time.Time) error {
	return w.deadline((*http.ResponseController).SetWriteDeadline, t)
}

func (w *recorder) deadline(set func(*http.ResponseController, time.Time) error, t time.Time) error {
	w.deadlines.Lock()
	defer w.deadlines.Unlock()

	if w.closed { // the connection may have the next request
		return errClosed
	}

	return set(http.NewResponseController(w.to), t)
}

// EnableFullDuplex does nothing, because the body of the request has been read.
func (*recorder) EnableFullDuplex() error { return nil }

// sniffed is how many bytes of a body net/http looks at to find its Content-Type. So many are kept of the answer to a HEAD.
const sniffed = 512

// close ends the answer: a goroutine that the handler has left behind cannot change it. A handler that writes nothing answers 200. If the
// context of its run has ended, it has given up and answers 503.
func (w *recorder) close(run context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if w.status == 0 && w.delivery != hijacked {
		if w.gaveUp = run.Err() != nil; w.gaveUp {
			w.writeHeader(http.StatusServiceUnavailable)
		} else {
			w.writeHeader(http.StatusOK)
		}
	}

	if w.head && w.written > 0 && w.declared < 0 && !noBody(w.status) && w.heading.get(contentLength) == nil {
		w.heading.add(contentLength, strconv.FormatInt(w.written, 10)) // as net/http does for a short answer
	}

	w.trailer = w.trailers()

	w.deadlines.Lock()
	w.closed = true
	w.deadlines.Unlock()
}

// collectedAnswer is the answer of a handler so far.
type collectedAnswer struct {
	delivery delivery
	status   int
	heading  heading
	trailer  []field
	body     []byte
	short    bool // it has fewer bytes than its Content-Length
	gaveUp   bool // it is no answer of the handler
}

// answer returns the answer of a recorder that is closed. Its headers and its body are the recorder's.
func (w *recorder) answer() collectedAnswer {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.soFar()
}

// answerSoFar returns the answer as it is while the handler runs: the handler may go on.
func (w *recorder) answerSoFar() collectedAnswer {
	w.mu.Lock()
	defer w.mu.Unlock()

	a := w.soFar()
	a.trailer = w.trailers()

	if w.status == 0 && w.delivery != hijacked {
		a.status, a.heading = http.StatusOK, w.kept.heading(w.header, nil)
	}

	return a
}

func (w *recorder) soFar() collectedAnswer {
	a := collectedAnswer{delivery: w.delivery, status: w.status, heading: w.heading, trailer: w.trailer, body: w.body, gaveUp: w.gaveUp}
	a.short = w.declared >= 0 && w.written < w.declared && !w.head && !noBody(w.status)

	if w.delivery == hijacked {
		a.status = http.StatusSwitchingProtocols
	}

	return a
}

// trailers returns the trailers of the answer: those that its header has declared, and those with http.TrailerPrefix.
func (w *recorder) trailers() []field {
	var trailers http.Header

	add := func(name string, values []string) {
		if trailers == nil {
			trailers = make(http.Header)
		}

		trailers[http.CanonicalHeaderKey(name)] = values
	}

	for _, line := range w.heading.get(trailerName) {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			if values, ok := w.header[name]; ok && !ofContract(name) {
				add(name, values)
			}
		}
	}

	for name, values := range w.header {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && !ofContract(rest) {
			add(rest, values)
		}
	}

	if trailers == nil {
		return nil
	}

	copied := w.kept.heading(trailers, nil)

	return copied.fields
}
