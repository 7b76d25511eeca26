package oncehttp

import (
	"net/http"
	"strconv"
	"strings"
)

// send writes a whole answer to a request, with the headers that the writer already has.
func send(w http.ResponseWriter, r *http.Request, a *collectedAnswer) {
	h := w.Header()

	for _, f := range a.heading.fields {
		if !strings.HasPrefix(f.name, http.TrailerPrefix) {
			h[f.name] = f.values
		}
	}

	trailers := notOfContract(h[trailerName]) // also of a middleware in front, which sets them later

	for _, f := range a.trailer {
		if !contains(trailers, f.name) {
			trailers = append(trailers, f.name)
		}
	}

	delete(h, trailerName)

	switch {
	case len(trailers) > 0 && r.ProtoAtLeast(1, 1):
		delete(h, contentLength) // an answer of HTTP/1.1 with a length has no trailers

		h[trailerName] = trailers
	case a.short, r.Method == http.MethodHead, noBody(a.status): // as the handler says
	default:
		h[contentLength] = []string{strconv.Itoa(len(a.body))}
	}

	w.WriteHeader(a.status)

	if len(a.body) > 0 && !noBody(a.status) {
		_, _ = w.Write(a.body) // a client that has gone gets the answer later
	}

	set(h, a.trailer)
}

// collected returns a recorded answer as it is sent.
func (p *payload) collected() collectedAnswer {
	return collectedAnswer{status: p.status, heading: heading{fields: p.header}, trailer: p.trailer, body: p.body}
}

// setLength declares the length of a body, unless a middleware in front has declared trailers: over HTTP/1.1, a length excludes trailers.
func setLength(h http.Header, length int) {
	if len(h[trailerName]) == 0 {
		h.Set(contentLength, strconv.Itoa(length))
	}
}
