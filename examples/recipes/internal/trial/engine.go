package trial

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// NewEngine returns an engine with its records in memory. By default, it has no observer.
func NewEngine(t *testing.T, opts ...onlyonce.Option) *onlyonce.Engine {
	t.Helper()

	engine, err := onlyonce.New(memstore.New(), append([]onlyonce.Option{onlyonce.WithObserver(nil)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := engine.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})

	return engine
}

// NewServer returns the kit for a server whose callers share one scope.
func NewServer(t *testing.T) *interceptor.Server {
	t.Helper()

	protect, err := interceptor.NewServer(NewEngine(t), interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	return protect
}

// ServeProvider serves the API of a provider until the test ends. It returns the address and a client. The provider loses an answer by a
// panic with [http.ErrAbortHandler].
func ServeProvider(t *testing.T, provider http.Handler) (url string, client *http.Client) {
	t.Helper()

	server := httptest.NewUnstartedServer(provider)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)

	return server.URL, server.Client()
}
