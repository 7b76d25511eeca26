package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

// localDesk returns a console behind a token, and its address.
func localDesk(t *testing.T) (*desk, *url.URL) {
	t.Helper()

	d := newDesk(t, operators(), onlyonce.Policy{})
	l := NewLocal(d.handler, "Ops.example")
	d.served = l

	address, err := url.Parse(l.URL("127.0.0.1:8080"))
	if err != nil {
		t.Fatal(err)
	}

	return d, address
}

// cookieOf returns the content of the session cookie.
func cookieOf(handler http.Handler) string {
	local, _ := handler.(*Local)

	return local.cookie
}

func TestTokenOpensTheConsoleOnce(t *testing.T) {
	d, address := localDesk(t)
	inside := "http://127.0.0.1:8080" + address.Path

	d.get(inside).wants(t, http.StatusUnauthorized)
	d.get(inside+"?token=wrong").wants(t, http.StatusUnauthorized)
	d.get(inside+"style.css").wants(t, http.StatusUnauthorized)
	d.do(http.MethodPost, address.String(), url.Values{}).wants(t, http.StatusUnauthorized)

	d.header.Set("Sec-Purpose", "prefetch")
	d.get(address.String()).wants(t, http.StatusUnauthorized)
	d.header.Del("Sec-Purpose")

	entered := d.get(address.String())
	cookies := entered.Cookies()

	entered.wants(t, http.StatusOK, `href="`+address.Path+`"`)

	if len(cookies) != 1 {
		t.Fatalf("there are the cookies %v", cookies)
	}

	if c := cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != address.Path ||
		strings.Contains(address.RawQuery, c.Value) {
		t.Errorf("cookie %v", c)
	}

	d.get(address.String()).wants(t, http.StatusUnauthorized, "already used")

	if c := cookies[0]; c.Value != cookieOf(d.served) || c.Secure || c.MaxAge != 0 || !c.Expires.IsZero() || c.Domain != "" {
		t.Errorf("cookie %v: want one that ends with the browser, and that the browser sends without TLS", c)
	}

	d.header.Set("Cookie", cookies[0].Name+"=wrong")
	d.get(inside).wants(t, http.StatusUnauthorized)

	d.header.Set("Cookie", cookies[0].Name+"=wrong; "+cookies[0].Name+"="+cookies[0].Value)
	d.get(inside).wants(t, http.StatusOK, "payments")
	d.get("http://127.0.0.1:8080/").wants(t, http.StatusNotFound)
}

func TestHostThatSomebodyElseCanPointHereIsRefused(t *testing.T) {
	d, address := localDesk(t)
	d.header.Set("Cookie", cookieName+"="+cookieOf(d.served))

	for host, want := range map[string]int{
		"127.0.0.1:8080": http.StatusOK, "[::1]:8080": http.StatusOK, "localhost:8080": http.StatusOK, "LOCALHOST": http.StatusOK,
		"ops.example:8080": http.StatusOK, "192.0.2.7": http.StatusOK,
		"evil.example:8080": http.StatusMisdirectedRequest, "127.0.0.1.evil.example": http.StatusMisdirectedRequest,
		"localhost.evil.example": http.StatusMisdirectedRequest, "ops.example.evil": http.StatusMisdirectedRequest,
	} {
		d.get("http://"+host+address.Path).wants(t, want)
	}
}

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	d := newDesk(t, operators(), onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)

	form := d.filled(rec, foundFailed)
	form.Set("confirmed", "yes")

	for name, header := range map[string]http.Header{
		"cross-site":         {"Sec-Fetch-Site": {"cross-site"}},
		"same-site":          {"Sec-Fetch-Site": {"same-site"}},
		"an old browser":     {"Origin": {"https://evil.example"}},
		"without an origin":  {"Origin": {"null"}},
		"another local port": {"Origin": {"http://example.com:81"}},
	} {
		d.header = header
		got := d.post("/settle", form)

		if got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "Nothing was changed") {
			t.Errorf("%s: status %d: %s", name, got.StatusCode, got.body)
		}
	}

	d.header = http.Header{"Sec-Fetch-Site": {"same-origin"}}

	if got := d.post("/settle", form); got.StatusCode != http.StatusSeeOther {
		t.Errorf("the own site: status %d: %s", got.StatusCode, got.body)
	}
}

func TestEveryResponseHasTheHeadersThatProtectIt(t *testing.T) {
	d, address := localDesk(t)
	rec := d.unknown(payMethod, secretKey)
	local := d.served
	base := "http://127.0.0.1:8080" + address.Path

	check := func(name string, got answer) {
		t.Helper()

		policy := got.Header.Get("Content-Security-Policy")
		for _, part := range []string{
			"default-src 'none'", "style-src 'self'", "img-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
		} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy %q lacks %s", name, policy, part)
			}
		}

		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
			t.Errorf("%s: the policy %q allows scripts", name, policy)
		}

		for header, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got.Header.Get(header) != want {
				t.Errorf("%s: %s is %q", name, header, got.Header.Get(header))
			}
		}

		body := strings.ReplaceAll(got.body, `xmlns="http://www.w3.org/2000/svg"`, "")
		if strings.Contains(body, "<script") || strings.Contains(body, " style=") || strings.Contains(body, "://") {
			t.Errorf("%s: the page has scripts, styles or addresses of other sites: %s", name, got.body)
		}
	}

	check("refused host", d.get("http://evil.example/"))
	check("no token", d.get(base))
	check("entering", d.get(address.String()))

	d.served = d.handler
	form := d.filled(rec, foundFailed)

	d.served = local
	d.header.Set("Cookie", cookieName+"="+cookieOf(local))

	for _, target := range []string{
		"", "style.css", "icon.svg", "none", page(rec)[1:], page(rec)[1:] + "&show=secrets", "record?store=x", "record?store=payments&id=x",
	} {
		check(target, d.get(base+target))
	}

	check("review", d.post(base+"settle", form))
	form.Set("confirmed", "yes")
	check("settled", d.post(base+"settle", form))
	check("outdated", d.post(base+"settle", form))
	check("wrong method", d.do(http.MethodPut, base, nil))

	d.header.Set("Sec-Fetch-Site", "cross-site")
	check("another site", d.post(base+"settle", form))
}

func TestKeysAndContentsAreHiddenUntilAnAuthorizedPersonRevealsThem(t *testing.T) {
	for _, may := range []bool{false, true} {
		opts := Options{}
		if may {
			opts.MayReveal = Everybody
		}

		d := newDesk(t, opts, onlyonce.Policy{})
		rec := d.unknown(payMethod, secretKey)

		for _, target := range []string{"/", page(rec)} {
			d.get(target).lacks(t, secretKey)
		}

		asked := d.get(page(rec) + "&show=secrets")
		if asked.StatusCode != http.StatusOK || strings.Contains(asked.body, secretKey) != may {
			t.Errorf("may reveal %t: status %d: %s", may, asked.StatusCode, asked.body)
		}

		if linked := strings.Contains(d.get(page(rec)).body, `id="reveal"`); linked != may {
			t.Errorf("may reveal %t: there is a link: %t", may, linked)
		}
	}
}

func TestAddressesHoldBelowAnyPrefix(t *testing.T) {
	d := newDesk(t, operators(), onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)
	d.served = http.StripPrefix("/admin/onlyonce", d.handler)

	if got := d.get("/admin/onlyonce?x=1"); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "onlyonce/" {
		t.Errorf("without the slash: status %d to %q", got.StatusCode, got.Header.Get("Location"))
	}

	for _, target := range []string{"/admin/onlyonce/", "/admin/onlyonce" + page(rec)} {
		got := d.get(target)
		got.wants(t, http.StatusOK)

		for _, attribute := range []string{`href="/`, `action="/`, `src="/`} {
			if strings.Contains(got.body, attribute) {
				t.Errorf("%s has %s: %s", target, attribute, got.body)
			}
		}
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	d := newDesk(t, Options{}, onlyonce.Policy{})

	_, err := New(Options{Secret: []byte("short"), MaxListed: -1},
		Store{Name: "a", Engine: d.engine}, Store{Name: "a"}, Store{Engine: d.engine})
	if err == nil {
		t.Fatal("no error")
	}

	for _, want := range []string{"no name", `two stores have the name "a"`, "has no engine", "secret has 5 bytes", "must not be negative"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}

	if _, err := New(Options{}); err == nil {
		t.Error("no store is no error")
	}
}

func TestReplicasWithOneSecretTakeEachOthersForms(t *testing.T) {
	opts := operators()
	opts.Secret = slices.Repeat([]byte("s"), minSecret)

	d := newDesk(t, opts, onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)
	form := d.filled(rec, foundFailed)

	for _, same := range []bool{true, false} {
		opts.Secret = slices.Repeat([]byte(map[bool]string{true: "s", false: "t"}[same]), minSecret)

		other, err := New(opts, Store{Name: "payments", Engine: d.engine})
		if err != nil {
			t.Fatal(err)
		}

		d.served = other
		d.post("/settle", form).wants(t, map[bool]int{true: http.StatusOK, false: http.StatusConflict}[same])
	}
}
