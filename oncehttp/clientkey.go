package oncehttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// keyOf returns the key of a request, or "". Call end when the request has ended.
func (t *Transport) keyOf(r *http.Request) (key string, end func(error), err error) {
	values, from := keysIn(r.Header), redirectedBy(r)

	switch chosen, ok := onlyonce.KeyFromContext(r.Context()); {
	case len(values) > 1:
		return "", nil, fmt.Errorf("oncehttp: the request has %d values of %s and must have one", len(values), KeyHeader)
	case len(values) == 1:
		if key, err = httprules.ParseKey(values[0]); err != nil {
			return "", nil, err
		}
	case ok:
		key = chosen
	case from != nil: // the server may have executed the request before it redirected a retry
		key = from.key
	case !t.protected(r):
		return "", nil, nil
	default:
		return t.ownKey(r)
	}

	if err := (onlyonce.KeyRules{}).Check(key); err != nil {
		return key, nil, err
	}

	return key, onlyonce.BeginCall(r.Context(), t.name(r), key), nil
}

// keysIn returns the keys in a header. A caller may have written the name in another case, past Header.Set.
func keysIn(h http.Header) []string {
	var values []string

	for name, own := range h {
		if isKeyHeader(name) {
			values = append(values, own...)
		}
	}

	return values
}

func isKeyHeader(name string) bool { return strings.EqualFold(name, KeyHeader) }

// name returns the method of a request for derived keys.
func (t *Transport) name(r *http.Request) string { return r.Method + " " + r.URL.Host + t.route(r) }

// ownKey returns a key of the kit: inside a run a key that is derived from the run's key, otherwise a fresh key.
func (t *Transport) ownKey(r *http.Request) (key string, end func(error), err error) {
	derived, err := onlyonce.DeriveCall(r.Context(), t.name(r))

	switch {
	case errors.Is(err, onlyonce.ErrNoRun):
		return t.newKey(), func(error) {}, nil
	case err != nil:
		return "", nil, fmt.Errorf("oncehttp: no key can be derived for %s: %w", t.name(r), err)
	default:
		return derived.Key(), derived.End, nil
	}
}

// keyValue returns the value of the header with the key.
func (c *clientCall) keyValue() string {
	const quote = `"`

	switch own := keysIn(c.request.Header); {
	case len(own) > 0 && strings.HasPrefix(own[0], quote): // the caller's server may need the quotes
		return own[0]
	case c.transport.quoted, strings.HasPrefix(c.key, quote): // raw, a key that begins with a quote is another key, or none
		return httprules.QuoteKey(c.key)
	default:
		return c.key
	}
}
