package wires_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// callerName is the name of the metadata and the header that identify the caller.
const callerName = "caller"

// setup describes a server. Its zero value has the kit's defaults, a store in memory, and one scope for all callers.
type setup struct {
	store    store.Store
	policy   onlyonce.Policy
	required bool // calls need a key
	rules    *onlyonce.KeyRules
	scoped   bool // by caller
	noScope  bool // no caller is identified
	forbids  bool // replays are refused to everybody
	work     work // nil: a response with the number of the run
	limits   onlyonce.Limits
	plain    bool // the server is without the kit
}

// request is the request that a handler gets.
type request struct {
	op   op
	text string
}

// result is the result of a handler, in a form that every wire can write.
type result struct {
	text    string
	code    codes.Code // anything but OK is an error
	status  int        // of the error on net/http; 0: the one of the code
	message string
	class   onlyonce.Class // if marked
	marked  bool
	panics  bool
	details int  // of a type that is not linked in
	passed  bool // the error is another server's rejection
	header  map[string]string
	trailer map[string]string
}

// work is a handler for every wire.
type work func(ctx context.Context, req request) result

// server is the service on any wire.
type server struct {
	setup

	engine *onlyonce.Engine
	runs   atomic.Int64
	front  front

	address string // where it is served; empty: anywhere
	stop    func() // ends it before the test ends

	mu sync.Mutex
}

func newServer(t *testing.T, s setup) *server {
	t.Helper()

	if s.store == nil {
		s.store = memstore.New()
	}

	silence := onlyonce.ObserverFunc(func(context.Context, onlyonce.Event) {})

	patient := onlyonce.Policy{MaxRun: time.Hour, MaxWait: time.Hour, Lease: time.Hour} // longer than any test

	engine, err := onlyonce.New(s.store, onlyonce.WithLimits(s.limits), onlyonce.WithPolicy(patient), onlyonce.WithObserver(silence))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()

		_ = engine.Drain(ctx) // abandons the settlements that the store has not acknowledged
	})

	return &server{setup: s, engine: engine}
}

// answers replaces the handler.
func (s *server) answers(w work) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.work = w
}

// handle is the handler of every wire.
func (s *server) handle(ctx context.Context, req request) result {
	run := s.runs.Add(1)

	s.mu.Lock()
	w := s.work
	s.mu.Unlock()

	if w == nil {
		return result{text: "run " + string(rune('0'+run))}
	}

	res := w(ctx, req)
	if res.panics {
		panic("the handler panics")
	}

	return res
}

var errNobody = errors.New("the token of Ann is stale")

// grpcOptions returns the scope and the options of servers that use the options of package interceptor.
func (s *server) grpcOptions() (interceptor.Scope, []interceptor.ServerOption) {
	p := interceptor.Policy{Policy: s.policy, KeyRules: s.rules}
	if s.required {
		p.Key = interceptor.KeyRequired
	}

	opts := []interceptor.ServerOption{interceptor.WithPolicy(p)}
	if s.forbids {
		opts = append(opts, interceptor.WithReplayCheck(func(context.Context, any) error { return errForbidden() }))
	}

	scope := interceptor.ScopeShared()

	switch {
	case s.scoped:
		scope = interceptor.ScopeFromMetadata(callerName)
	case s.noScope:
		scope = interceptor.ScopeFunc(func(context.Context) (string, error) { return "", errNobody })
	}

	return scope, opts
}

// httpOptions are the scope and the options of net/http.
func (s *server) httpOptions() (oncehttp.Scope, []oncehttp.Option) {
	p := oncehttp.Policy{Policy: s.policy, KeyRules: s.rules}
	if s.required {
		p.Key = oncehttp.KeyRequired
	}

	opts := []oncehttp.Option{oncehttp.WithPolicy(p), oncehttp.WithRecordedHeaders(handlerHeader, handlerTrailer)}
	if s.forbids {
		opts = append(opts, oncehttp.WithReplayCheck(httpForbidden))
	}

	scope := oncehttp.ScopeShared()

	switch {
	case s.scoped:
		scope = oncehttp.ScopeFromHeader(callerName)
	case s.noScope:
		scope = oncehttp.ScopeFunc(noCaller)
	}

	return scope, opts
}
