package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// unknownInSQLite makes a SQLite database with a record whose outcome is unknown.
func unknownInSQLite(t *testing.T) (address string, lookup func() onlyonce.Record) {
	t.Helper()

	path := filepath.Join(t.TempDir(), "records.db")

	db, err := sql.Open("sqlite", (&url.URL{
		Scheme: "file", Opaque: path,
		RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate",
	}).String())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { db.Close() })

	if err := sqlstore.Migrate(t.Context(), db, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}

	records, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}

	engine, err := onlyonce.New(records, onlyonce.WithObserver(nil), onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: time.Minute}))
	if err != nil {
		t.Fatal(err)
	}

	call := onlyonce.Call{Method: "/bank.v1.Bank/Pay", Key: "order-4711"}
	_, _ = engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, errors.New("the line to the bank broke") })

	return "sqlite:" + path, func() onlyonce.Record {
		rec, err := engine.Lookup(t.Context(), onlyonce.Identity{Method: call.Method, Key: call.Key})
		if err != nil {
			t.Fatal(err)
		}

		return rec
	}
}

// patient gives a command a long time limit for each store operation, unless it has one.
func patient(args []string) []string {
	uses := []string{"bench", "console", "doctor", "forget", "list", "resolve", "show", "watch"}
	if len(args) == 0 || !slices.Contains(uses, args[0]) || slices.Contains(args, "--timeout") {
		return args
	}

	return append(slices.Clone(args), "--timeout", "1m")
}

// startConsole runs the command until the test ends. It returns an HTTP client and the address.
func startConsole(t *testing.T, args ...string) (*http.Client, string) {
	t.Helper()

	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()

	var problems bytes.Buffer

	a := &app{in: strings.NewReader(""), out: writer, err: &problems, env: func(string) string { return "" }, width: defaultWidth}
	ended := make(chan int, 1)

	go func() {
		ended <- run(ctx, a, patient(append([]string{"console"}, args...)))

		writer.Close()
	}()

	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatalf("no address: %v, status %d: %s", err, <-ended, problems.String())
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}

	client := &http.Client{Jar: jar, Transport: &http.Transport{}}

	t.Cleanup(func() {
		client.CloseIdleConnections()
		stop()

		if status := <-ended; status != statusOK {
			t.Errorf("status %d: %s", status, problems.String())
		}
	})

	return client, strings.TrimSpace(line)
}

// body returns the body and the status of a response.
func body(t *testing.T, resp *http.Response, err error) (text string, code int) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}

	return string(read), resp.StatusCode
}

func get(t *testing.T, client *http.Client, address string) (text string, code int) {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}

	resp, err := client.Do(req)

	return body(t, resp, err)
}

// enter uses the token. It returns the first page and its address.
func enter(t *testing.T, client *http.Client, entry string) (list, base string) {
	t.Helper()

	if text, code := get(t, client, entry); code != http.StatusOK {
		t.Fatalf("status %d: %s", code, text)
	}

	base, _, _ = strings.Cut(entry, "?")

	list, code := get(t, client, base)
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, list)
	}

	return list, base
}

var (
	recordLink = regexp.MustCompile(`href="(record[^"]+)"`)
	seenField  = regexp.MustCompile(`name="seen" value="([^"]+)"`)
)

func TestConsoleSettlesARecordOfADatabase(t *testing.T) {
	address, lookup := unknownInSQLite(t)
	client, entry := startConsole(t, "--allow-settle", "--by", "Ada", address)

	list, base := enter(t, client, entry)
	if !strings.Contains(list, "/bank.v1.Bank/Pay") {
		t.Fatalf("the list is %s", list)
	}

	link := strings.ReplaceAll(recordLink.FindStringSubmatch(list)[1], "&amp;", "&")

	record, _ := get(t, client, base+link)
	if !strings.Contains(record, `value="Ada"`) {
		t.Errorf("the form does not suggest the name: %s", record)
	}

	named, _ := url.Parse(link)
	form := url.Values{
		"store": named.Query()["store"], "id": named.Query()["id"], "seen": {seenField.FindStringSubmatch(record)[1]},
		"found": {"failed"}, "code": {"NOT_FOUND"}, "by": {"Ada"}, "reason": {"bank statement"}, "confirmed": {"yes"},
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"settle", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")

	reply, err := client.Do(req)
	if text, code := body(t, reply, err); code != http.StatusOK || !strings.Contains(text, "Settled: it happened") {
		t.Fatalf("status %d: %s", code, text)
	}

	if rec := lookup(); rec.Code != "NOT_FOUND" || rec.SettledBy != "Ada" || rec.Reason != "bank statement" {
		t.Errorf("the record has %s by %q because of %q", rec.Code, rec.SettledBy, rec.Reason)
	}

	other := &http.Client{Transport: client.Transport}
	if text, code := get(t, other, entry); code != http.StatusUnauthorized {
		t.Errorf("the token works again: status %d: %s", code, text)
	}
}

func TestConsoleOnlyShowsUnlessItIsAllowedToSettle(t *testing.T) {
	address, _ := unknownInSQLite(t)
	client, line := startConsole(t, "--json", address, address)

	entry := strings.TrimSuffix(strings.TrimPrefix(line, `{"url":"`), `"}`)

	list, base := enter(t, client, entry)
	if !strings.Contains(list, "read only") || strings.Count(list, "<section") != 2 || !strings.Contains(list, " (2)") {
		t.Errorf("the list is %s", list)
	}

	link := strings.ReplaceAll(recordLink.FindStringSubmatch(list)[1], "&amp;", "&")
	if record, _ := get(t, client, base+link); strings.Contains(record, "<form") || strings.Contains(record, "Show them") {
		t.Errorf("the record is %s", record)
	}
}

func TestConsoleRefusesWhatOthersCanReach(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:80", "example.com:80", "127.0.0.1", ""} {
		var problems bytes.Buffer

		a := &app{out: io.Discard, err: &problems, env: func(string) string { return "" }, width: defaultWidth}

		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		status := run(ctx, a, []string{"console", "--listen", listen, "sqlite:none.db"})

		stop()

		if status != statusUsage || !strings.Contains(problems.String(), "--listen") {
			t.Errorf("%q: status %d: %s", listen, status, problems.String())
		}
	}
}

func TestConsoleWithoutAStoreFails(t *testing.T) {
	for want, args := range map[int][]string{
		statusUsage: {"console"}, statusFailed: {"console", "sqlite:" + filepath.Join(t.TempDir(), "none.db")},
	} {
		var problems bytes.Buffer

		a := &app{out: io.Discard, err: &problems, env: func(string) string { return "" }, width: defaultWidth}
		if status := run(t.Context(), a, args); status != want {
			t.Errorf("%q: status %d, want %d: %s", args, status, want, problems.String())
		}
	}
}
