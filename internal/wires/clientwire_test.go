package wires_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	"github.com/onlyonce-go/onlyonce/interceptor"
	wiresv1 "github.com/onlyonce-go/onlyonce/internal/wires/proto/wires/v1"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// reaction is the result of a call of a kit's client, and its attempts.
type reaction struct {
	ok      bool // a response, and no error
	verdict onlyonce.Verdict
	began   time.Time
	tries   []retry.Attempt
}

// sender sends a payment. A key in the context is used.
type sender func(ctx context.Context, text string) (ok bool, verdict onlyonce.Verdict)

// clientWire is a protocol of a client of the kit.
type clientWire struct {
	name           string
	client, server string // for the docs
	form           form
	serve          func(t *testing.T, srv *server) (address string)
	dial           func(t *testing.T, address string, s clientSettings) sender
}

// clientSettings are the options of a client.
type clientSettings struct {
	policy    retry.Policy
	unkeyed   bool // the client protects no method
	observers observers
}

// clientWires are all of them, in the order of the docs.
func clientWires() []clientWire {
	return []clientWire{
		{
			name: "grpc-go", form: formGRPC, serve: serveDirect, dial: dialGRPCClient,
			client: "grpc-go with the client interceptor of package `interceptor`", server: "`grpc.Server` with package `interceptor`",
		},
		{
			name: "Connect", form: formConnect, serve: serveConnect, dial: dialConnect(false),
			client: "connect-go with `onceconnect.NewClient`, over HTTP/1.1", server: "connect-go with package `onceconnect`",
		},
		{
			name: "gRPC by Connect", form: formGRPC, serve: serveConnect, dial: dialConnect(true, connect.WithGRPC()),
			client: "the same with `connect.WithGRPC`, over unencrypted HTTP/2", server: "the same",
		},
		{
			name: "gRPC-Web by Connect", form: formGRPC, serve: serveConnect, dial: dialConnect(false, connect.WithGRPCWeb()),
			client: "the same with `connect.WithGRPCWeb`, over HTTP/1.1", server: "the same",
		},
		{
			name: "net/http", form: formHTTP, serve: serveNetHTTP, dial: dialTransport,
			client: "net/http with `oncehttp.Transport`, over HTTP/1.1", server: "`http.Server` with package `oncehttp`",
		},
		{
			name: "net/http to a gateway", form: formGateway, serve: serveGateway, dial: dialTransport,
			client: "the same", server: "grpc-gateway with package `oncegateway` and `WithProblems`, in front of grpc-go",
		},
		{
			name: "net/http to a gateway without problems", form: formGateway, serve: servePlainGateway, dial: dialTransport,
			client: "the same", server: "the same without `WithProblems`",
		},
	}
}

func serveDirect(t *testing.T, srv *server) string {
	t.Helper()

	return srv.serveGRPC(t)
}

// observers get the attempts of the calls of one client, by call.
type observers struct{ mu *sync.Mutex }

type watchKey struct{}

// watch collects the attempts of one call.
type watch struct {
	tries []retry.Attempt
	each  func(retry.Attempt)
}

// attempt notes an attempt of the call of a context.
func (o observers) attempt(ctx context.Context, a retry.Attempt) {
	w, ok := ctx.Value(watchKey{}).(*watch)
	if !ok {
		return
	}

	o.mu.Lock()
	defer o.mu.Unlock()

	w.tries = append(w.tries, a)

	if w.each != nil {
		w.each(a)
	}
}

// interceptorOptions are the settings as options of package interceptor.
func (s *clientSettings) interceptorOptions() []interceptor.ClientOption {
	opts := []interceptor.ClientOption{ //nolint:prealloc // few
		interceptor.WithRetry(s.policy),
		interceptor.WithAttemptObserver(func(ctx context.Context, a interceptor.Attempt) { s.observers.attempt(ctx, a.Attempt) }),
		interceptor.WithClientLogger(silentSlog()),
	}

	if s.unkeyed {
		return opts
	}

	return append(opts, interceptor.WithMethods(opPay.fullMethod()))
}

func dialGRPCClient(t *testing.T, address string, s clientSettings) sender {
	t.Helper()

	opts, err := interceptor.DialOptions(s.interceptorOptions()...)
	if err != nil {
		t.Fatal(err)
	}

	conn, err := grpc.NewClient(address, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = conn.Close() })

	client := wiresv1.NewWireServiceClient(conn)

	return func(ctx context.Context, text string) (bool, onlyonce.Verdict) {
		_, err := client.Pay(ctx, &wiresv1.PayRequest{Text: text})

		return err == nil, onlyonce.VerdictOf(err)
	}
}

// dialConnect is a client of connect-go, over HTTP/2 or HTTP/1.1.
func dialConnect(http2 bool, opts ...connect.ClientOption) func(*testing.T, string, clientSettings) sender {
	return func(t *testing.T, address string, s clientSettings) sender {
		t.Helper()

		protect, err := onceconnect.NewClient(s.interceptorOptions()...)
		if err != nil {
			t.Fatal(err)
		}

		protocols := new(http.Protocols)
		protocols.SetHTTP1(!http2)
		protocols.SetUnencryptedHTTP2(http2)

		transport := &http.Transport{Protocols: protocols}
		t.Cleanup(transport.CloseIdleConnections)

		client := connect.NewClient[wiresv1.PayRequest, wiresv1.PayResponse](onceconnect.HTTPClient(&http.Client{Transport: transport}),
			"http://"+address+opPay.fullMethod(), append(opts, connect.WithInterceptors(protect), connect.WithSchema(schema(opPay)))...)

		return func(ctx context.Context, text string) (bool, onlyonce.Verdict) {
			_, err := client.CallUnary(ctx, connect.NewRequest(&wiresv1.PayRequest{Text: text}))

			return err == nil, onlyonce.VerdictOf(err)
		}
	}
}

func dialTransport(t *testing.T, address string, s clientSettings) sender {
	t.Helper()

	base := new(http.Transport)
	t.Cleanup(base.CloseIdleConnections)

	opts := []oncehttp.ClientOption{
		oncehttp.WithRetry(s.policy), oncehttp.WithAttempts(s.observers.attempt), oncehttp.WithClientLogger(silentSlog()),
	}
	if s.unkeyed {
		opts = append(opts, oncehttp.WithProtected(func(*http.Request) bool { return false }))
	}

	transport, err := oncehttp.NewTransport(base, opts...)
	if err != nil {
		t.Fatal(err)
	}

	client := &http.Client{Transport: transport}

	return func(ctx context.Context, text string) (bool, onlyonce.Verdict) {
		content, err := json.Marshal(body{Text: text})
		if err != nil {
			return false, onlyonce.VerdictUnknown
		}

		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+opPay.path(), bytes.NewReader(content))
		if err != nil {
			return false, onlyonce.VerdictUnknown
		}

		r.Header.Set("Content-Type", "application/json")

		resp, err := client.Do(r)
		if err == nil {
			defer resp.Body.Close()

			_, err = io.Copy(io.Discard, resp.Body)
		}

		return err == nil && resp.StatusCode < http.StatusBadRequest, oncehttp.OutcomeOf(resp, err).Verdict
	}
}
