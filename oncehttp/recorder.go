package oncehttp

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// delivery is how far the answer of a handler has got.
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
	whole   bool                // nothing may be sent before the run is recorded
	most    int                 // bytes of a body that is collected
	trailed []string            // the trailers of an answer that is sent at once

	header http.Header // the handler's

	mu       sync.Mutex
	closed   bool
	delivery delivery
	status   int         // 0: not written yet
	fixed    http.Header // the header as it was when the status was written
	declared int64       // the Content-Length of the handler; -1: none
	written  int64
	body     []byte
	gone     bool // the client has gone
}

var (
	errClosed = errors.New("oncehttp: the handler has returned, and its answer is complete")
	errWhole  = errors.New("oncehttp: the handler shares a transaction with its record, so nothing may be sent before the commit")
)

// newRecorder returns a recorder whose header is that of the client's writer so far.
func newRecorder(to http.ResponseWriter, r *http.Request, rt *route, trailed []string) *recorder {
	return &recorder{
		to: to, head: r.Method == http.MethodHead, whole: rt.exactly, most: rt.policy.MaxOutcome, trailed: trailed,
		header: to.Header().Clone(), declared: -1,
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

	w.status, w.fixed = status, w.Header().Clone()
	removeContract(w.fixed)

	if n, err := strconv.ParseInt(w.fixed.Get(contentLength), 10, 64); err == nil && n >= 0 {
		w.declared = n
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
func (w *recorder) Write(p []byte) (int, error) {
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

	w.forward(p)

	return len(p), nil
}

// WriteString is Write.
func (w *recorder) WriteString(s string) (int, error) { return w.Write([]byte(s)) } //nolint:gocritic // this is WriteString

// stream sends the header and what was collected. What became of the request comes in the trailers.
func (w *recorder) stream() {
	w.delivery = streamed

	own := w.to.Header()
	clear(own)
	maps.Copy(own, w.fixed)
	own.Del(contentLength) // an answer of HTTP/1.1 with a length has no trailers

	for _, name := range w.trailed {
		own.Add(trailerName, name)
	}

	w.to.WriteHeader(w.status)
	w.forward(w.body)
	w.body = nil
}

// forward sends bytes. A client that has gone is no reason for the handler to stop: the run goes on.
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

// FlushError sends what was written so far, and from then on sends every write. It does nothing if the handler shares a transaction with
// its record, and for an answer without a body.
func (w *recorder) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()

	switch {
	case w.closed:
		return errClosed
	case w.delivery == hijacked:
		return http.ErrHijacked
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

	conn, buf, err := http.NewResponseController(w.to).Hijack()
	if err == nil {
		w.delivery = hijacked
	}

	return conn, buf, err
}

// SetReadDeadline sets the deadline of the connection.
func (w *recorder) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(w.to).SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of the connection.
func (w *recorder) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.to).SetWriteDeadline(t)
}

// EnableFullDuplex does nothing that matters: the body of the request has been read.
func (w *recorder) EnableFullDuplex() error {
	return http.NewResponseController(w.to).EnableFullDuplex()
}

// sniffed is how many bytes of a body net/http looks at to find its Content-Type. So many are kept of the answer to a HEAD.
const sniffed = 512

// close ends the answer: a goroutine that the handler has left behind cannot change it.
func (w *recorder) close() {
	w.mu.Lock()
	defer w.mu.Unlock()

	if w.status == 0 && w.delivery != hijacked {
		w.writeHeader(http.StatusOK) // a handler that writes nothing answers 200
	}

	if w.head && w.written > 0 && w.declared < 0 && w.fixed != nil && !noBody(w.status) {
		w.fixed.Set(contentLength, strconv.FormatInt(w.written, 10)) // as net/http does for a short answer
	}

	w.closed = true
}

// collectedAnswer is the answer of a handler so far.
type collectedAnswer struct {
	delivery delivery
	status   int
	header   http.Header
	trailer  http.Header
	body     []byte
	short    bool // it has fewer bytes than its Content-Length says
}

// answer returns the answer so far. Its headers and its body are the recorder's.
func (w *recorder) answer() *collectedAnswer {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.soFar()
}

// answerSoFar returns the answer as it is while the handler runs: the handler may go on.
func (w *recorder) answerSoFar() *collectedAnswer {
	w.mu.Lock()
	defer w.mu.Unlock()

	a := w.soFar()
	if w.status == 0 && w.delivery != hijacked {
		a.status, a.header = http.StatusOK, w.Header().Clone()
		removeContract(a.header)
	}

	return a
}

func (w *recorder) soFar() *collectedAnswer {
	a := &collectedAnswer{delivery: w.delivery, status: w.status, header: w.fixed, body: w.body}
	a.short = w.declared >= 0 && w.written < w.declared && !w.head && !noBody(w.status)
	a.trailer = trailersOf(w.fixed, w.header)

	if w.delivery == hijacked {
		a.status = http.StatusSwitchingProtocols
	}

	return a
}

// trailersOf returns the trailers of an answer: those that its header has declared, and those with http.TrailerPrefix.
func trailersOf(fixed, now http.Header) http.Header {
	var trailers http.Header

	add := func(name string, values []string) {
		if trailers == nil {
			trailers = make(http.Header)
		}

		trailers[http.CanonicalHeaderKey(name)] = values
	}

	for _, line := range fixed[trailerName] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			if values, ok := now[name]; ok && !ofContract(name) {
				add(name, values)
			}
		}
	}

	for name, values := range now {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && !ofContract(rest) {
			add(rest, values)
		}
	}

	return trailers
}
