package onceconnect_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
)

type connKey struct{}

// cutting is a server that closes its connection in the middle of its first answer.
type cutting struct {
	handler http.Handler
	reset   bool // the connection ends with a reset
	begun   atomic.Bool
}

// start serves HTTP/1.1 and HTTP/2 without TLS, and returns the base URL.
func (c *cutting) start(t *testing.T) string {
	t.Helper()

	server := &http.Server{
		Handler: c, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)

	listener := must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	served := make(chan error, 1)

	go func() { served <- server.Serve(listener) }()

	t.Cleanup(func() {
		_ = server.Close()
		ended(served)
	})

	return "http://" + listener.Addr().String()
}

func (c *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !c.begun.CompareAndSwap(false, true) {
		c.handler.ServeHTTP(w, r)

		return
	}

	c.handler.ServeHTTP(&cutWriter{ResponseWriter: w}, r)
	_ = http.NewResponseController(w).Flush()

	conn, _ := r.Context().Value(connKey{}).(*net.TCPConn)
	if c.reset {
		_ = conn.SetLinger(0)
	}

	_ = conn.Close()
}

// cutWriter writes the first three bytes of an answer. In gRPC, these end in the prefix of the message.
type cutWriter struct {
	http.ResponseWriter

	wrote bool
}

func (w *cutWriter) Write(data []byte) (int, error) {
	if w.wrote {
		return len(data), nil
	}

	w.wrote = true
	w.Header().Set("Content-Length", "1000")

	_, err := w.ResponseWriter.Write(data[:min(3, len(data))])

	return len(data), err
}

func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher, which connect-go looks for.
func (w *cutWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// grpc-go retries such a call, too: its code is UNAVAILABLE there.
func TestF05ACallWhoseAnswerIsCutOffIsRetried(t *testing.T) {
	for protocol, opts := range protocols() {
		for version, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
			for end, reset := range map[string]bool{"closed": false, "reset": true} {
				if protocol == "grpc" && !http2 {
					continue // gRPC needs HTTP/2
				}

				t.Run(protocol+" over "+version+" "+end, func(t *testing.T) {
					w := newWorld(t, setup{})
					server := &cutting{handler: onceconnect.Handler(w.routes(connect.WithInterceptors(w.server))), reset: reset}
					once := must(onceconnect.NewClient(soon()))(t)
					c := dialBy(httpClient(t, http2), server.start(t), append(opts, connect.WithInterceptors(once))...)

					if got := c.payKeyed(t.Context(), "").must(t, onlyonce.StatusReplayed); got.receipt != "run 1" || w.runs.Load() != 1 {
						t.Errorf("got %+v in %d runs", got, w.runs.Load())
					}
				})
			}
		}
	}
}
