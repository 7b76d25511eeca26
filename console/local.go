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

// Local serves a handler to one person on the same machine, behind a token that works once. It has a path of its own that nobody can guess,
// so that the cookie of the session does not go to other programs that serve on other ports of the machine. See [NewLocal].
//
//   - The token is in the address that the program prints. The first request that brings it gets the cookie of the session, and the token
//     does not work any more. To let another browser in, start another one.
//   - Requests whose Host is a name other than localhost are refused, so that another site cannot point its own name at this machine.
type Local struct {
	prefix, token string
	session       [sha256.Size]byte // digest of the cookie's value
	cookie        string
	hosts         []string
	used          atomic.Bool
	inner         http.Handler
}

const cookieName = "onlyonce-console"

// NewLocal returns a Local around a handler. Hosts are names that are accepted besides localhost and addresses.
func NewLocal(inner *Handler, hosts ...string) *Local {
	l := &Local{prefix: "/" + rand.Text() + "/", token: rand.Text(), cookie: rand.Text()}
	for _, host := range hosts {
		l.hosts = append(l.hosts, strings.ToLower(host))
	}

	l.session = sha256.Sum256([]byte(l.cookie))
	l.inner = http.StripPrefix(strings.TrimSuffix(l.prefix, "/"), inner)

	return l
}

// URL is the address with the token, for a server that listens at an address such as "127.0.0.1:8080".
func (l *Local) URL(address string) string {
	return (&url.URL{Scheme: "http", Host: address, Path: l.prefix, RawQuery: url.Values{"token": {l.token}}.Encode()}).String()
}

// ServeHTTP implements [http.Handler].
func (l *Local) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())

	switch {
	case !l.knows(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "This console answers only at its own address. Use the one that the command has printed.")
	case !strings.HasPrefix(r.URL.Path, l.prefix):
		refuse(w, http.StatusNotFound, "There is nothing here. Use the address that the command has printed.")
	case l.enters(r):
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // without TLS a browser would not send a Secure cookie back
			Name: cookieName, Value: l.cookie, Path: l.prefix, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
		l.enter(w)
	case l.inside(r):
		l.inner.ServeHTTP(w, r)
	default:
		refuse(w, http.StatusUnauthorized, "The token is missing, wrong, or was used already. Start the command again for a new address.")
	}
}

// enter links to the first page. A redirect would not do: where another site has led to the address with the token, a browser does not send
// a SameSite=Strict cookie to the address of a redirect, but it does to one that a page of this console leads to.
func (l *Local) enter(w http.ResponseWriter) {
	var page bytes.Buffer

	if err := pages.ExecuteTemplate(&page, "enter", l.prefix); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())

		return
	}

	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w) // the browser has gone
}

// knows reports whether a Host is this machine's, and no name that somebody else can point here.
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

// enters reports whether a request brings the token for the first time. A browser that only looks ahead does not use it up.
func (l *Local) enters(r *http.Request) bool {
	given := r.URL.Query().Get("token")
	ahead := r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Purpose") != ""

	return r.Method == http.MethodGet && !ahead && same(given, sha256.Sum256([]byte(l.token))) && l.used.CompareAndSwap(false, true)
}

// inside reports whether a request has the cookie of the session.
func (l *Local) inside(r *http.Request) bool {
	return slices.ContainsFunc(r.CookiesNamed(cookieName), func(c *http.Cookie) bool { return same(c.Value, l.session) })
}

// same compares in a time that does not depend on the text.
func same(text string, digest [sha256.Size]byte) bool {
	sum := sha256.Sum256([]byte(text))

	return subtle.ConstantTimeCompare(sum[:], digest[:]) == 1
}

func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
