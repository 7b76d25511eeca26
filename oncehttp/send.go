package oncehttp

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// send writes a whole answer. Own are the headers of the contract.
func send(w http.ResponseWriter, head bool, a *collectedAnswer, own http.Header) {
	h := w.Header()
	clear(h)

	for name, values := range a.header {
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			h[name] = values
		}
	}

	h.Del(trailerName)
	maps.Copy(h, own)

	switch {
	case len(a.trailer) > 0:
		h.Del(contentLength) // an answer of HTTP/1.1 with a length has no trailers

		for name := range a.trailer {
			h.Add(trailerName, name)
		}
	case a.short, head, noBody(a.status): // as the handler says
	default:
		h.Set(contentLength, strconv.Itoa(len(a.body)))
	}

	w.WriteHeader(a.status)

	if len(a.body) > 0 && !noBody(a.status) {
		_, _ = w.Write(a.body) // a client that has gone gets the answer later
	}

	maps.Copy(h, a.trailer)
}

// asReplay returns a recorded answer over the headers that others have set for this very request.
func (p *payload) asReplay(others http.Header) *collectedAnswer {
	a := &collectedAnswer{status: p.status, header: others.Clone(), body: p.body}
	if a.header == nil {
		a.header = make(http.Header)
	}

	set(a.header, p.header)

	if len(p.trailer) > 0 {
		a.trailer = make(http.Header)
		set(a.trailer, p.trailer)
	}

	return a
}
