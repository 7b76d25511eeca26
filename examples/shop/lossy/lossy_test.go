package lossy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/shop/lossy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post sends a request through a proxy with the given faults.
func post(t *testing.T, faults lossy.Faults) (body string, handled, lostRequests, lostReplies int64, err error) {
	t.Helper()

	var count atomic.Int64

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		count.Add(1)

		_, _ = io.WriteString(w, "paid")
	}))
	defer server.Close()

	proxy, err := lossy.Listen(strings.TrimPrefix(server.URL, "http://"), faults, 1)
	if err != nil {
		t.Fatal(err)
	}

	transport := new(http.Transport)
	client := &http.Client{Transport: transport}

	for range 2 { // on one connection, where it is not broken
		r, problem := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+proxy.Addr(), strings.NewReader("order"))
		if problem != nil {
			t.Fatal(problem)
		}

		resp, problem := client.Do(r)
		if err = problem; err != nil {
			continue
		}

		text, problem := io.ReadAll(resp.Body)
		if problem != nil {
			t.Error(problem)
		}

		body = string(text)

		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}

	transport.CloseIdleConnections()

	if err := proxy.Close(); err != nil {
		t.Error(err)
	}

	lostRequests, lostReplies = proxy.Lost()

	return body, count.Load(), lostRequests, lostReplies, err
}

func TestWithoutFaultsRequestsGoThrough(t *testing.T) {
	body, handled, requests, replies, err := post(t, lossy.Faults{})
	if err != nil || body != "paid" || handled != 2 || requests+replies != 0 {
		t.Errorf("%q, %d handled, %d and %d lost, %v", body, handled, requests, replies, err)
	}
}

func TestALostRequestIsNotCarriedOut(t *testing.T) {
	if _, handled, requests, _, err := post(t, lossy.Faults{Request: 1}); err == nil || handled != 0 || requests != 2 {
		t.Errorf("%d handled, %d lost, %v", handled, requests, err)
	}
}

func TestALostReplyComesAfterTheRequestWasCarriedOut(t *testing.T) {
	if _, handled, _, replies, err := post(t, lossy.Faults{Reply: 1}); err == nil || handled != 2 || replies != 2 {
		t.Errorf("%d handled, %d lost, %v", handled, replies, err)
	}
}
