//go:build unix

package main

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
)

// onPaper returns an app that prints into a buffer, with 80 columns and no colours.
func onPaper() (*app, *bytes.Buffer) {
	out := new(bytes.Buffer)

	return &app{in: strings.NewReader(""), out: out, err: out, width: defaultWidth, env: func(string) string { return "" }}, out
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// aRecord returns a held record whose owner may be alive.
func aRecord() onlyonce.Record {
	return onlyonce.Record{
		ID: store.Key{0x3f, 0x2a, 0x9c, 0x04, 0xd1, 0xbe},
		Record: store.Record{
			State: store.Unknown, Fence: 3, Guarantee: store.AtMostOnce, Attempts: 1, FirstStart: noon.Add(-6 * time.Minute),
			LastStart: noon.Add(-6 * time.Minute), EndedAt: noon.Add(-5*time.Minute - 12*time.Second), OwnerAliveUntil: noon.Add(90 * time.Second),
			Retention: 24 * time.Hour, Method: "/payments.v1.PaymentService/CreateAPaymentWithALongName", ReadableKey: "order-17",
		},
		LookedUpAt: noon, Unknown: true, Code: "INTERNAL", Request: make([]byte, 120),
		Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

func TestListAtEightyColumnsIsAsItWas(t *testing.T) {
	t.Parallel()

	a, out := onPaper()
	abandoned := aRecord()
	abandoned.ID[0], abandoned.Code, abandoned.Record.State, abandoned.LeaseUntil = 0x40, "", store.Running, noon.Add(-26*time.Hour)

	a.printListing(&operate.Listing{
		Records: []onlyonce.Record{abandoned, aRecord()}, Selected: 7, UnreadableTotal: 1,
		Unreadable: []operate.Unreadable{{ID: store.Key{1}, Err: store.ErrNewer}},
	}, false)
	mustBeGolden(t, "list", out.String())
}

func TestRecordAtEightyColumnsIsAsItWas(t *testing.T) {
	t.Parallel()

	a, out := onPaper()
	rec := aRecord()
	a.describe(&rec, false)
	a.printf("\n%s", kept(&rec))
	mustBeGolden(t, "show", out.String())

	a, out = onPaper()
	rec.State, rec.Unknown, rec.Resolved, rec.SettledBy, rec.Reason = store.Completed, false, true, "ann", "seen at the bank"
	rec.ExpiresAt, rec.Body, rec.Request = noon.Add(23*time.Hour), make([]byte, 80), nil
	a.describe(&rec, true)
	a.printf("\n%s", kept(&rec))
	mustBeGolden(t, "show-settled", out.String())

	a, out = onPaper()
	rec.State, rec.Doubtful = store.Released, true
	a.describe(&rec, true)

	if text := out.String(); !strings.Contains(text, "may be alive until") || strings.Contains(text, "is refused") {
		t.Errorf("nobody can settle a released record:\n%s", text)
	}
}

func TestPlanAtEightyColumnsIsAsItWas(t *testing.T) {
	t.Parallel()

	a, out := onPaper()
	plan := operate.Plan(aRecord(), operate.Decision{
		Verdict: operate.Happened, Code: "OK", Body: make([]byte, 80), Who: "ann", Reason: "the bank shows payment 17",
	})
	a.printPlan(&plan)
	mustBeGolden(t, "plan", out.String())
}

func TestReportsAtEightyColumnsAreAsTheyWere(t *testing.T) {
	t.Parallel()

	a, out := onPaper()
	a.printHealth(&operate.Health{Diagnoses: []store.Diagnosis{
		{Check: "version", Where: "10.0.0.1:6379", Found: "redis 7.2.4"},
		{
			Check: "persistence", Where: "10.0.0.1:6379", Severity: store.SeverityWarn,
			Found:  "the append-only file is off: a restart forgets what was recorded since the last snapshot, and these calls may run again",
			Remedy: "set appendonly to yes, and appendfsync to everysec or always",
		},
		{Check: "index", Severity: store.SeverityFail, Found: "records cannot be listed: no\tright\n", Remedy: "look at the other checks"},
	}})
	mustBeGolden(t, "doctor", out.String())

	a, out = onPaper()
	percentiles := operate.Percentiles{
		P50: 212345, P90: 1312345, P99: 12312345, P999: 112312345, Max: 1112312345,
	}

	err := a.printBench(&operate.Result{
		Duration: time.Minute, Callers: 16, Calls: 1234567, Rate: 20576, Claim: percentiles, Completion: percentiles, Call: percentiles,
		Errors: 2, FirstError: errors.New("claim: no answer"), Left: 3,
	})
	if err == nil || !strings.Contains(err.Error(), "2 calls failed") {
		t.Errorf("got %v", err)
	}

	mustBeGolden(t, "bench", out.String())
}

func TestColoursAreForTerminalsAlone(t *testing.T) {
	t.Parallel()

	a, out := onPaper()
	a.color = true
	rec := aRecord()
	a.printListing(&operate.Listing{Records: []onlyonce.Record{rec}, Selected: 1}, false)

	if !strings.Contains(out.String(), "\x1b["+yellow+"mheld\x1b[0m") {
		t.Errorf("no colour in\n%s", out.String())
	}
}

func TestDoctorAndBenchOnEveryStore(t *testing.T) {
	t.Parallel()

	forEachStore(t, func(t *testing.T, address string) {
		t.Helper()

		command(t, address, "doctor").mustEnd(t, statusOK).mustSay(t, "is fit", "records: claiming, completing", "clock")
		command(t, address, "bench", "--duration", "200ms", "--callers", "2").mustEnd(t, statusOK).
			mustSay(t, "by 2 callers", "completion").mustNotSay(t, "could not be removed")
		command(t, address, "list", "--state", "unknown,running").mustEnd(t, statusOK).mustSay(t, "No records.")
	})
}

func TestDoctorExaminesEveryServerOfACluster(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)
	address := "redis+cluster://" + cluster.Addrs()[0]

	got := command(t, address, "doctor").mustEnd(t, statusOK).mustSay(t, "slots, cluster: every slot has a master")
	if n := strings.Count(got.out, "claiming, completing and removing"); n < 3 {
		t.Errorf("%d masters were written to:\n%s", n, got.out)
	}
}

func TestEvictionMakesAStoreUnfit(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t, "--maxmemory-policy", "allkeys-lru")
	command(t, server.URL(), "doctor").mustEnd(t, statusFailed).mustSay(t, "allkeys-lru", "noeviction", "not fit")
}

func TestF03WatchShowsWhatBecomesUnknownAndWhoSettlesIt(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	watch := onTerminal(t, address, "watch", "--interval", "50ms")

	id := unsettled(t, address).String()
	watch.until(t, "appeared")

	command(t, address, "forget", id, "--reason", "test", "--yes", "--force").mustEnd(t, statusOK)
	watch.until(t, "disappeared")

	if _, err := watch.tty.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}

	watch.end(t).mustEnd(t, statusOK).mustSay(t, id[:shortID], "held", "absent").mustNotSay(t, "order-17")
}

// fullDisk accepts a limited number of writes.
type fullDisk struct{ writes int }

func (d *fullDisk) Write(p []byte) (int, error) {
	d.writes--
	if d.writes < 0 {
		return 0, syscall.ENOSPC
	}

	return len(p), nil
}

func TestACommandFailsIfItsOutputCannotBeWritten(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		args   []string
		writes int
	}{
		"at once":      {args: []string{"capacity", "--rps", "10"}},
		"after a line": {args: []string{"capacity", "--rps", "10"}, writes: 1},
		"JSON":         {args: []string{"capacity", "--rps", "10", "--json"}},
		"help":         {args: []string{"--help"}},
	} {
		var problems bytes.Buffer

		disk := &fullDisk{writes: c.writes}
		a := &app{in: strings.NewReader(""), out: disk, err: &problems, width: defaultWidth, env: func(string) string { return "" }}

		if status := run(t.Context(), a, c.args); status != statusFailed || !strings.Contains(problems.String(), syscall.ENOSPC.Error()) {
			t.Errorf("%s: the exit status is %d, and the error is %q", name, status, problems.String())
		}
	}
}
