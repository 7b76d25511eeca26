package wires_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// frontMode is how the front of a server treats calls.
type frontMode uint8

const (
	frontPasses  frontMode = iota
	frontRefuses           // it answers UNAVAILABLE, or 503, as a proxy does that has no server
	frontLoses             // the call runs, and every connection breaks before its answer is sent
)

// front is the part of a server through which its clients reach it.
type front struct {
	mu      sync.Mutex
	mode    frontMode
	conns   []net.Conn
	retries []time.Time // when the retries of clients arrived
}

func (f *front) becomes(mode frontMode) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.mode = mode
}

// arrived notes a call, and returns how the call is treated.
func (f *front) arrived(retried bool) frontMode {
	f.mu.Lock()
	defer f.mu.Unlock()

	if retried {
		f.retries = append(f.retries, time.Now())
	}

	return f.mode
}

// cut breaks all connections.
func (f *front) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()

	for _, conn := range f.conns {
		_ = conn.Close()
	}

	f.conns = nil
}

// http is the front of a handler of net/http.
func (f *front) http(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch f.arrived(r.Header.Get("X-Retry-Attempt") != "") {
		case frontRefuses:
			http.Error(w, "no server", http.StatusServiceUnavailable)
		case frontLoses:
			h.ServeHTTP(httptest.NewRecorder(), r)
			f.cut()
			panic(http.ErrAbortHandler)
		case frontPasses:
			h.ServeHTTP(w, r)
		}
	})
}

// unary is the front of a server of grpc-go.
func (f *front) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	switch f.arrived(len(metadata.ValueFromIncomingContext(ctx, "x-retry-attempt")) > 0) {
	case frontRefuses:
		return nil, status.Error(codes.Unavailable, "no server")
	case frontLoses:
		defer f.cut()
	case frontPasses:
	}

	return handler(ctx, req)
}

// on returns a listener whose connections the front can break.
func (f *front) on(l net.Listener) net.Listener { return &frontListener{l, f} }

type frontListener struct {
	net.Listener

	front *front
}

// Accept implements [net.Listener].
func (l *frontListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}

	l.front.mu.Lock()
	defer l.front.mu.Unlock()

	l.front.conns = append(l.front.conns, conn)

	return conn, nil
}
