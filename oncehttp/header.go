package oncehttp

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// isToken reports whether a name is a token of RFC 9110, section 5.6.2, as names of headers are.
func isToken(name string) bool {
	return name != "" && strings.IndexFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	}) < 0
}

// recordedByDefault are the headers that describe an answer and belong to nobody.
func recordedByDefault() []string {
	return []string{
		"Accept-Patch", "Accept-Post", "Accept-Ranges", "Allow", "Cache-Control", "Content-Digest", contentDisposition, contentEncoding,
		"Content-Language", "Content-Location", "Content-Range", "Content-Security-Policy", contentType, "Deprecation", "Digest", "Etag",
		"Expires", "Last-Modified", "Link", "Location", "Preference-Applied", "Repr-Digest", retryAfter, "Sunset", "Vary", noSniff,
	}
}

const contentDisposition = "Content-Disposition"

// neverRecorded are headers that belong to one caller, to one connection or to one answer.
func neverRecorded(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Set-Cookie", "Set-Cookie2", "Cookie", "Clear-Site-Data", // of one caller
		"Authorization", "Authentication-Info", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Www-Authenticate",
		"Connection", "Keep-Alive", "Proxy-Connection", "Te", trailerName, "Transfer-Encoding", "Upgrade", // of one connection
		contentLength, "Date": // of one answer
		return true
	default:
		return false
	}
}

// ofContract are the headers that the middleware itself sets.
func ofContract(name string) bool {
	if len(name) < len(KeyHeader) || len(name) > len(ExecutedAtHeader) { // the shortest and the longest of them
		return false
	}

	switch http.CanonicalHeaderKey(name) {
	case KeyHeader, StatusHeader, ReplayedHeader, ExecutedAtHeader, RetentionHeader, repeatabilityResult:
		return true
	default:
		return false
	}
}

// checkRecorded reports a header that must not be recorded.
func checkRecorded(name string) error {
	switch {
	case !isToken(name):
		return fmt.Errorf("oncehttp: WithRecordedHeaders has %q, which is no name of a header", name)
	case ofContract(name):
		return fmt.Errorf("oncehttp: WithRecordedHeaders has %s, which the middleware itself sets: leave it out", name)
	case neverRecorded(name):
		return fmt.Errorf("oncehttp: WithRecordedHeaders has %s, which belongs to one caller or one connection: leave it out", name)
	default:
		return nil
	}
}

// headerSet is a set of names in canonical form.
type headerSet map[string]bool

func newHeaderSet(names ...string) headerSet {
	set := make(headerSet, len(names))
	for _, name := range names {
		set[http.CanonicalHeaderKey(name)] = true
	}

	return set
}

// has reports whether the set has a name, in whatever case a handler has written it, such as ETag.
func (s headerSet) has(name string) bool { return s[http.CanonicalHeaderKey(name)] }

// pick returns the headers that are in the set, in the order of their names.
func (s headerSet) pick(h http.Header) []field {
	picked := make([]field, 0, len(h))

	for name, values := range h {
		if s.has(name) {
			picked = append(picked, field{name, values})
		}
	}

	slices.SortFunc(picked, func(a, b field) int { return strings.Compare(a.name, b.name) })

	return picked
}

// field is a header with all its values. No values keep net/http from adding the header by itself.
type field struct {
	name   string
	values []string
}

// cloneFields returns a copy that shares no values.
func cloneFields(fields []field) []field {
	own := slices.Clone(fields)
	for i := range own {
		own[i].values = slices.Clone(own[i].values)
	}

	return own
}

// set puts fields into a header, in place of what it has.
func set(h http.Header, fields []field) {
	for _, f := range fields {
		h[f.name] = f.values
	}
}

// contains reports whether lines of a list of names have a name.
func contains(lines []string, name string) bool {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(one, " \t"), name) {
				return true
			}
		}
	}

	return false
}
