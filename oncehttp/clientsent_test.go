package oncehttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// leavingConn is a connection that ends a request while it is being written: the first write after armed is set arrives, and returns
// only after the request has.
type leavingConn struct {
	net.Conn

	armed    *atomic.Bool
	leave    context.CancelFunc
	returned chan struct{}
}

func (c leavingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)

	if c.armed.CompareAndSwap(true, false) {
		c.leave()
		<-c.returned
	}

	return n, err
}

// Over HTTP/2, the client may return before it knows whether it has sent the request. A caller that is told "not sent"
// may pay with a new key.
func TestRequestThatIsBeingWrittenOverHTTP2IsNotUnsent(t *testing.T) {
	for name, secure := range map[string]bool{"TLS": true, "without TLS": false} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64

			armed, returned := new(atomic.Bool), make(chan struct{})
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if requests.Add(1) > 1 {
					<-returned
				}

				rw.Header().Set(oncehttp.StatusHeader, "executed")
			}))

			protocols := new(http.Protocols)
			protocols.SetHTTP2(secure)
			protocols.SetUnencryptedHTTP2(!secure)
			server.Config.Protocols = protocols

			if secure {
				server.EnableHTTP2 = true
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()

			ctx, leave := context.WithCancel(t.Context())
			defer leave()

			plain, ok := server.Client().Transport.(*http.Transport)
			if !ok {
				t.Fatalf("%T", server.Client().Transport)
			}

			base := plain.Clone()
			base.Protocols = protocols
			base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)

				return leavingConn{conn, armed, leave, returned}, err
			}
			defer base.CloseIdleConnections()

			transport, err := oncehttp.NewTransport(base, oncehttp.WithRetry(retry.Policy{MaxAttempts: 1}))
			if err != nil {
				t.Fatal(err)
			}

			post := func() (*http.Response, error) {
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}

				return transport.RoundTrip(r) //nolint:contextcheck // the request has it
			}

			resp, err := post()
			if err != nil || resp.ProtoMajor != 2 {
				t.Fatalf("%v, %v", resp, err)
			}

			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()

			armed.Store(true)

			resp, err = post() //nolint:bodyclose // there is none
			close(returned)

			if outcome := oncehttp.OutcomeOf(resp, err); err == nil || outcome.Verdict != onlyonce.VerdictUnknown {
				t.Errorf("%+v, %v", outcome, err)
			}
		})
	}
}

// A protocol of RegisterProtocol need not report what it sends.
func TestF05RequestOfAnotherProtocolIsNotUnsent(t *testing.T) {
	var requests int

	base := new(http.Transport)
	base.RegisterProtocol("pay", roundTripper(func(*http.Request) (*http.Response, error) {
		requests++

		return nil, io.ErrUnexpectedEOF
	}))

	transport, err := oncehttp.NewTransport(base, oncehttp.WithRetry(retry.Policy{MaxAttempts: 3, BaseDelay: 1}))
	if err != nil {
		t.Fatal(err)
	}

	client := &http.Client{Transport: transport}

	resp, err := client.Post("pay://server.test/", "text/plain", strings.NewReader("body")) //nolint:bodyclose // there is none
	if verdict := oncehttp.OutcomeOf(resp, err).Verdict; verdict != onlyonce.VerdictUnknown || requests != 1 {
		t.Errorf("the verdict is %q after %d requests, want %q after 1", verdict, requests, onlyonce.VerdictUnknown)
	}
}
