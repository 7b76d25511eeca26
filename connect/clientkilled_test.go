package onceconnect_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/journal"
)

// The environment of a client that is a process of its own.
const (
	shopURL    = "ONLYONCE_TEST_CONNECT_SHOP"
	calls      = "ONLYONCE_TEST_CONNECT_CALLS"
	protocolOf = "ONLYONCE_TEST_CONNECT_PROTOCOL"
	killedAt   = "ONLYONCE_TEST_CONNECT_KILLED_AT" // see moments
	resumes    = "ONLYONCE_TEST_CONNECT_RESUMES"   // sends what is left, and pays nothing
)

// moments are the moments at which a client is killed, and how often the handler has run then.
func moments() map[string]int64 {
	return map[string]int64{"before the request": 0, "before the answer is read": 1, "after the call": 1}
}

// kill ends the process if it is to be killed at a moment.
func kill(moment string) {
	if os.Getenv(killedAt) != moment {
		return
	}

	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}

	select {} // the signal comes first
}

// dying kills its process around a request.
type dying struct{ http.Client }

// Do implements connect.HTTPClient.
func (d *dying) Do(req *http.Request) (*http.Response, error) {
	kill("before the request")

	resp, err := d.Client.Do(req)
	if err == nil {
		kill("before the answer is read")
	}

	return resp, err
}

// clientMain is the main function of a client process. It pays once, under a key that nobody else knows, or resumes.
func clientMain() error {
	j, err := journal.Open(os.Getenv(calls))
	if err != nil {
		return err
	}

	once, err := onceconnect.NewClient(interceptor.WithJournal(j))
	if err != nil {
		return err
	}

	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)

	by := &dying{http.Client{Transport: transport}}
	opts := protocols()[os.Getenv(protocolOf)]
	opts = append(opts, connect.WithInterceptors(once))

	if os.Getenv(resumes) != "" {
		_, err = onceconnect.Resume(context.Background(), j, onceconnect.Destination{
			HTTPClient: by, BaseURL: os.Getenv(shopURL), Options: opts,
		}, journal.OnAnswer("", func(context.Context, journal.Answer) error {
			kill("in the function of OnAnswer")

			return nil
		}))
	} else {
		err = dialBy(by, os.Getenv(shopURL), opts...).payFor(context.Background(), "", &shopv1.PayRequest{Order: "1", Amount: 100}).err
	}

	if err != nil {
		return err
	}

	kill("after the call")

	return errors.New("not killed")
}

// clientKilled runs a client process until it is killed.
func clientKilled(t *testing.T, env ...string) {
	t.Helper()

	cmd := exec.Command(must(os.Executable())(t))
	cmd.Env = append(os.Environ(), env...)

	var said strings.Builder
	cmd.Stderr = &said

	child := must(servertest.Start(cmd))(t)
	t.Cleanup(func() { child.Kill() })

	<-child.Ended()

	if said.Len() > 0 {
		t.Fatal(said.String())
	}
}

func TestF05AClientIsKilledAndResumeGetsTheOneAnswer(t *testing.T) {
	for protocol, opts := range protocols() {
		for moment, runs := range moments() {
			t.Run(protocol+" "+moment, func(t *testing.T) {
				w, path := newWorld(t, setup{}), filepath.Join(t.TempDir(), "calls")

				clientKilled(t, shopURL+"="+w.url, calls+"="+path, protocolOf+"="+protocol, killedAt+"="+moment)

				if w.runs.Load() != runs {
					t.Fatalf("%d runs, want %d", w.runs.Load(), runs)
				}

				mustResume(t, w, path, opts, moment != "after the call")
			})
		}
	}
}

// The first client is killed before it has sent its call, and the second one while it resumes.
func TestF05AClientIsKilledInResumeAndTheNextResumeGetsTheOneAnswer(t *testing.T) {
	for protocol, opts := range protocols() {
		for moment, runs := range map[string]int64{
			"before the request": 0, "before the answer is read": 1, "in the function of OnAnswer": 1, "after the call": 1,
		} {
			t.Run(protocol+" "+moment, func(t *testing.T) {
				w, path := newWorld(t, setup{}), filepath.Join(t.TempDir(), "calls")
				env := []string{shopURL + "=" + w.url, calls + "=" + path, protocolOf + "=" + protocol}

				clientKilled(t, append(env, killedAt+"=before the request")...)
				clientKilled(t, append(env, killedAt+"="+moment, resumes+"=1")...)

				if w.runs.Load() != runs {
					t.Fatalf("%d runs, want %d", w.runs.Load(), runs)
				}

				mustResume(t, w, path, opts, moment != "after the call")
			})
		}
	}
}

// mustResume checks that a call that killed clients have left gets its one answer, and that nothing stays in the journal.
func mustResume(t *testing.T, w *world, path string, opts []connect.ClientOption, left bool) {
	t.Helper()

	j := must(journal.Open(path))(t)
	defer j.Close()

	var answers []journal.Answer

	once := must(onceconnect.NewClient(soon()))(t)
	to := onceconnect.Destination{
		HTTPClient: httpClient(t, true), BaseURL: w.url, Options: append(opts, connect.WithInterceptors(once)),
	}

	summary, err := onceconnect.Resume(t.Context(), j, to, journal.OnAnswer("", func(_ context.Context, a journal.Answer) error {
		answers = append(answers, a)

		return nil
	}))
	if err != nil || summary.Left != 0 || j.Left() != 0 || w.runs.Load() != 1 {
		t.Fatalf("%+v, %v, %d runs", summary, err, w.runs.Load())
	}

	if !left {
		if len(answers) != 0 {
			t.Errorf("a call that has ended is sent again: %+v", answers)
		}

		return
	}

	if len(answers) != 1 || answers[0].Err != nil {
		t.Fatalf("%+v", answers)
	}

	if got, ok := answers[0].Response.(*shopv1.PayResponse); !ok || !proto.Equal(got, &shopv1.PayResponse{Receipt: "run 1"}) {
		t.Errorf("%+v", answers)
	}
}
