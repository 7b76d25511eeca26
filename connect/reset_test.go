package onceconnect_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// connect-go says CANCELLED when the other side resets the connection.
func TestACallWhoseReplyIsLostWithAResetIsRetried(t *testing.T) {
	var attempts atomic.Int64

	w := newWorld(t, setup{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if attempts.Add(1) > 1 {
				next.ServeHTTP(rw, r)

				return
			}

			next.ServeHTTP(httptest.NewRecorder(), r) // its reply is lost

			conn, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				t.Error(err)

				return
			}

			if tcp, ok := conn.(*net.TCPConn); ok {
				if err := tcp.SetLinger(0); err != nil { // the end is a reset
					t.Error(err)
				}
			}

			_ = conn.Close()
		})
	}})

	once := must(onceconnect.NewClient(interceptor.WithAllMethods()))(t)
	shop := dialBy(httpClient(t, false), w.url, connect.WithInterceptors(once))

	shop.payKeyed(t.Context(), "first").must(t, onlyonce.StatusReplayed)

	if n := attempts.Load(); n != 2 {
		t.Errorf("%d attempts", n)
	}
}
