package console

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// Local protects a Handler with a token that works once, for one person on the same machine. See [NewLocal].
//
//   - The token is part of the address that URL returns. The first request with the token gets a session cookie. Then the token is invalid.
//     To admit another browser, start another Local.
//   - The pages have a random path, so the browser does not send the session cookie to other programs on this machine.
//   - Local refuses a Host header with a name other than localhost, so another site cannot point its own name at this machine.
type Local struct {
	prefix, token string
	session       [sha256.Size]byte // digest of the cookie
	cookie        string
	hosts         []string
	used          atomic.Bool
	inner         http.Handler
}

const cookieName = "onlyonce-console"

// NewLocal returns a Local for a handler. Hosts are accepted host names besides localhost and IP addresses.
func NewLocal(inner *Handler, hosts ...string) *Local {
	l := &Local{prefix: "/" + rand.Text() + "/", token: rand.Text(), cookie: rand.Text()}
	for _, host := range hosts {
		l.hosts = append(l.hosts, strings.ToLower(host))
	}

	l.session = sha256.Sum256([]byte(l.cookie))
	l.inner = http.StripPrefix(strings.TrimSuffix(l.prefix, "/"), inner)

	return l
}

// URL returns the address with the token, for a server that listens at an address such as "127.0.0.1:8080".
func (l *Local) URL(address string) string {
	return (&url.URL{Scheme: "http", Host: address, Path: l.prefix, RawQuery: url.Values{"token": {l.token}}.Encode()}).String()
}

// ServeHTTP implements [http.Handler].
func (l *Local) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())

	switch {
	case !l.knows(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "Wrong host name. Use the address that the command has printed.")
	case !strings.HasPrefix(r.URL.Path, l.prefix):
		refuse(w, http.StatusNotFound, "Page not found. Use the address that the command has printed.")
	case l.enters(r):
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // without TLS a browser would not send a Secure cookie back
			Name: cookieName, Value: l.cookie, Path: l.prefix, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
		l.enter(w)
	case l.inside(r):
		l.inner.ServeHTTP(w, r)
	default:
		refuse(w, http.StatusUnauthorized, "The token is missing, invalid or already used. Start the command again for a new address.")
	}
}

// enter sends a page with a link to the first page. A redirect would not work if another site led to the token's address: the browser would
// not send the SameSite=Strict cookie.
func (l *Local) enter(w http.ResponseWriter) {
	var page bytes.Buffer

	if err := pages.ExecuteTemplate(&page, "enter", l.prefix); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())

		return
	}

	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w) // fails if the browser has gone
}

// knows reports whether a Host header names this machine. It rejects names that others can point here.
func (l *Local) knows(hostPort string) bool {
	host := hostPort
	if name, _, err := net.SplitHostPort(hostPort); err == nil {
		host = name
	}

	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))

	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}

	return host == "localhost" || slices.Contains(l.hosts, host)
}

// enters reports whether a request uses the token for the first time. A prefetch does not use it up.
func (l *Local) enters(r *http.Request) bool {
	given := r.URL.Query().Get("token")
	ahead := r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Purpose") != ""

	return r.Method == http.MethodGet && !ahead && same(given, sha256.Sum256([]byte(l.token))) && l.used.CompareAndSwap(false, true)
}

// inside reports whether a request has the session cookie.
func (l *Local) inside(r *http.Request) bool {
	return slices.ContainsFunc(r.CookiesNamed(cookieName), func(c *http.Cookie) bool { return same(c.Value, l.session) })
}

// same compares in constant time.
func same(text string, digest [sha256.Size]byte) bool {
	sum := sha256.Sum256([]byte(text))

	return subtle.ConstantTimeCompare(sum[:], digest[:]) == 1
}

func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
