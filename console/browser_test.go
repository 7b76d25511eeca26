package console

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// These tests use headless Chromium. make test installs it where possible.

var screenshots = flag.Bool("screenshots", false, "write docs/images/console-*.png")

// browser is a tab of headless Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// patience is long, for slow machines.
const patience = 10 * time.Minute

// serve serves a handler and returns its address.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()

	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	return server.URL
}

// chromium is shared by all tests. The first test starts it; stopChromium ends it.
var (
	chromium     = sync.OnceValues(startChromium)
	stopChromium = func() {}
)

func startChromium() (context.Context, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		program, err := exec.LookPath(name)
		if err != nil {
			continue
		}

		allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(patience),
			chromedp.Flag("disable-dev-shm-usage", true))...)
		ctx, leave := chromedp.NewContext(allocator)
		stopChromium = func() {
			leave()
			stop()
		}

		return ctx, chromedp.Do(ctx)
	}

	return nil, errors.New("the tests of the console need a browser: install chromium, or what your system calls it")
}

// newBrowser opens a tab with its own cookies.
func newBrowser(t *testing.T) *browser {
	t.Helper()

	started, err := chromium()
	if err != nil {
		t.Fatal(err)
	}

	tab, leave := chromedp.NewContext(started, chromedp.WithNewBrowserContext())
	t.Cleanup(leave)

	ctx, stop := context.WithTimeout(tab, patience)
	t.Cleanup(stop)

	b := &browser{t: t, ctx: ctx}

	err = chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded: // violations of the policy, and missing resources
			if !expected(e.Entry.Text) {
				t.Errorf("the browser reports: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			t.Errorf("the browser reports: %v", e.ExceptionDetails)
		}
	})
	if err != nil {
		t.Fatalf("the browser opens no tab: %v", err)
	}

	return b
}

// expected reports whether a browser message is about an HTTP status that the test expects.
func expected(text string) bool {
	for _, status := range []string{"401", "403", "404", "409", "422"} {
		if strings.Contains(text, "status of "+status) {
			return true
		}
	}

	return false
}

// run runs actions.
func (b *browser) run(actions ...action) {
	b.t.Helper()

	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.page())
	}
}

// follow runs actions that load another page. It returns the status of the response.
func (b *browser) follow(actions ...action) int64 {
	b.t.Helper()

	resp, err := chromedp.RunResponse(b.ctx, actions...)
	if err != nil {
		b.t.Fatalf("%v\n%s", err, b.page())
	}

	return resp.Status
}

// page returns the text of the page.
func (b *browser) page() string {
	b.t.Helper()

	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}

	return text
}

// value evaluates an expression in the page.
func value[T any](b *browser, expression string) T {
	b.t.Helper()

	result, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}

	return result
}

// shot saves a screenshot of the page.
func (b *browser) shot(name string) {
	b.t.Helper()

	if !*screenshots {
		return
	}

	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}

	folder := filepath.Join("..", "docs", "images")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		b.t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(folder, name), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

type action = chromedp.Action[chromedp.Void]

// screen sets the window size and the preferred colour scheme.
func screen(width, height int64, scheme string) action {
	return chromedp.Steps(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})

		return err
	}))
}

const (
	light = "light"
	dark  = "dark"
)

func TestPicturesOfTheDocumentation(t *testing.T) {
	b := newBrowser(t)
	address := serve(t, exhibition(t)) + "/"

	b.run(screen(1100, 700, light), chromedp.Navigate(address))
	b.shot("console-overview.png")
	b.follow(chromedp.Click("table a.id"))
	b.shot("console-record.png")
}

// unlocked serves a console that may settle records, and uses the token in the browser. It returns the address.
func (d *desk) unlocked(b *browser) string {
	d.t.Helper()

	local := NewLocal(d.handler)
	server := serve(d.t, local)
	host := strings.TrimPrefix(server, "http://")

	b.run(chromedp.Navigate(local.URL(host)))
	b.follow(chromedp.Click("body > p > a"))

	return value[string](b, "location.href")
}

func TestOperatorSettlesInABrowser(t *testing.T) {
	b := newBrowser(t)
	d := newDesk(t, operators(), onlyonce.Policy{})
	d.unknown(payMethod, secretKey)

	address := d.unlocked(b)
	if strings.Contains(address, "token") {
		t.Errorf("the token is left in the address %s", address)
	}

	if got := b.page(); !strings.Contains(got, payMethod) || strings.Contains(got, secretKey) {
		t.Errorf("the page is %s", got)
	}

	b.follow(chromedp.Click("table a.id"))
	b.follow(chromedp.Click("#reveal"))

	if got := b.page(); !strings.Contains(got, secretKey) {
		t.Errorf("the key stays hidden: %s", got)
	}

	// The browser refuses to send a form without a reason.
	b.run(chromedp.Click("#failed"), chromedp.SendKeys("#settle-by", "Ada"), chromedp.Click("section[aria-labelledby=settle] button"))

	if !value[bool](b, "document.activeElement.id == 'settle-reason' && !document.querySelector('#settle-reason').checkValidity()") {
		t.Errorf("the form without a reason was sent: %s", b.page())
	}

	b.follow(chromedp.SendKeys("#message", "no such account"), chromedp.SendKeys("#settle-reason", "bank statement 12"),
		chromedp.Click("section[aria-labelledby=settle] button"))

	if got := b.page(); !strings.Contains(got, "Confirm the change") || !strings.Contains(got, "no such account") {
		t.Errorf("the review is %s", got)
	}

	if now := d.lookup(payMethod, secretKey); now.State != store.Unknown {
		t.Fatalf("the record is %v before the second look", now.State)
	}

	b.follow(chromedp.Click("form button"))

	if got := b.page(); !strings.Contains(got, "Settled: it happened") {
		t.Errorf("the record is %s", got)
	}

	if now := d.lookup(payMethod, secretKey); now.State != store.Completed || now.Code != "FAILED_PRECONDITION" {
		t.Errorf("the record is %v with %s", now.State, now.Code)
	}
}

func TestF49RefusesInABrowserWhatHasChangedMeanwhile(t *testing.T) {
	b := newBrowser(t)
	d := newDesk(t, operators(), onlyonce.Policy{})
	rec := d.unknown(payMethod, secretKey)

	d.unlocked(b)
	b.follow(chromedp.Click("table a.id"))
	b.follow(chromedp.Click("#failed"), chromedp.SendKeys("#settle-by", "Ada"), chromedp.SendKeys("#settle-reason", "a guess"),
		chromedp.Click("section[aria-labelledby=settle] button"))

	if err := d.engine.Resolve(t.Context(), rec, onlyonce.Happened("OK", nil)); err != nil {
		t.Fatal(err)
	}

	if status := b.follow(chromedp.Click("form button")); status != http.StatusConflict {
		t.Errorf("status %d", status)
	}

	if got := b.page(); !strings.Contains(got, "The record has changed") || !strings.Contains(got, "Nothing was changed") {
		t.Errorf("the page is %s", got)
	}

	if now := d.lookup(payMethod, secretKey); now.Code != "OK" {
		t.Errorf("the record has %s", now.Code)
	}
}

// tab presses Tab until an element has the focus. The focus must be visible.
func (b *browser) tab(selector string) {
	b.t.Helper()

	for range 40 {
		b.run(chromedp.KeyEvent(kb.Tab))

		if value[bool](b, "document.activeElement.matches(`"+selector+"`)") {
			if width := value[string](b, "getComputedStyle(document.activeElement).outlineStyle"); width == "none" {
				b.t.Errorf("%s has the focus, and nobody sees it", selector)
			}

			return
		}
	}

	b.t.Fatalf("the keyboard does not reach %s: %s", selector, b.page())
}

func TestKeyboardIsEnough(t *testing.T) {
	b := newBrowser(t)
	d := newDesk(t, operators(), onlyonce.Policy{})
	d.unknown(payMethod, secretKey)
	d.unlocked(b)

	b.tab("a.skip")

	if top := value[float64](b, "document.activeElement.getBoundingClientRect().top"); top < -10 {
		t.Errorf("the skip link is at %v and not in sight", top)
	}

	b.run(chromedp.KeyEvent(kb.Enter))

	if !value[bool](b, "document.activeElement.id == 'main'") {
		t.Error("the skip link does not lead to the content")
	}

	b.tab("table a.id")
	b.follow(chromedp.KeyEvent(kb.Enter))
	b.tab("#answered")
	b.run(chromedp.KeyEvent(kb.ArrowDown)) // to the error
	b.tab("#code")
	b.run(chromedp.KeyEvent("NOT_F"))
	b.tab("#settle-by")
	b.run(chromedp.KeyEvent("Ada"))
	b.tab("#settle-reason")
	b.run(chromedp.KeyEvent("bank statement 12"))
	b.tab("button")
	b.follow(chromedp.KeyEvent(kb.Enter))
	b.tab("form button")
	b.follow(chromedp.KeyEvent(" "))

	if now := d.lookup(payMethod, secretKey); now.State != store.Completed || now.Code != "NOT_FOUND" {
		t.Errorf("the record is %v with %s: %s", now.State, now.Code, b.page())
	}
}

// contrasts returns the text with the lowest contrast, if it is below WCAG 2 level AA.
const contrasts = `(() => {
	const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4) };
	const luminance = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
	const parse = (text) => text.match(/[\d.]+/g).map(Number);
	const behind = (element) => {
		for (; element; element = element.parentElement) {
			const color = parse(getComputedStyle(element).backgroundColor);
			if (color.length < 4 || color[3] > 0) return color;
		}
		return [255, 255, 255];
	};
	let worst = [21, ''];
	for (const element of document.querySelectorAll('body *')) {
		const own = [...element.childNodes].some((n) => n.nodeType == 3 && n.textContent.trim());
		if (!own && !element.matches('input, select, textarea') || element.disabled) continue;
		if (element.closest('svg')) continue;
		const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(behind(element))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < worst[0]) worst = [contrast, element.outerHTML.slice(0, 200)];
	}
	return worst[0] < 4.5 ? worst[0].toFixed(2) + ' ' + worst[1] : '';
})()`

func TestPagesAreReadableOnEveryScreen(t *testing.T) {
	b := newBrowser(t)
	d := newDesk(t, operators(), onlyonce.Policy{})
	long := "/" + strings.Repeat("a.very.long.package.", 12) + "v1.Service/" + strings.Repeat("Method", 20)
	d.unknown(long, strings.Repeat("key", 60))
	address := d.unlocked(b)

	check := func(name string) {
		t.Helper()

		if wide := value[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
			t.Errorf("%s is %d pixels too wide", name, wide)
		}

		if got := value[string](b, contrasts); got != "" {
			t.Errorf("%s: a contrast of %s", name, got)
		}
	}

	background := map[string]string{}

	for _, look := range []struct {
		width  int64
		scheme string
	}{{320, light}, {1280, light}, {320, dark}} {
		name := fmt.Sprintf("%d pixels, %s: ", look.width, look.scheme)

		b.run(screen(look.width, 640, look.scheme), chromedp.Navigate(address))
		check(name + "list")

		background[look.scheme] = value[string](b, "getComputedStyle(document.body).backgroundColor")

		b.follow(chromedp.Click("table a.id"))
		b.run(chromedp.Click("summary"))
		check(name + "record")
		b.follow(chromedp.Click("#reveal"))
		check(name + "record with its key")
		b.follow(chromedp.Click("#failed"), chromedp.SendKeys("#settle-by", "Ada"),
			chromedp.SendKeys("#settle-reason", strings.Repeat("why", 80)), chromedp.Click("section[aria-labelledby=settle] button"))
		check(name + "review")
		b.run(chromedp.Navigate(address + "none"))
		check(name + "no page")
	}

	if background[light] == background[dark] {
		t.Errorf("light and dark are both %s", background[light])
	}
}
