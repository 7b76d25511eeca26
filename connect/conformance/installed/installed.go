// Package installed is what the suite's own server and client have in addition.
package installed

import (
	"net/http"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Server returns the interceptor of the server.
func Server() connect.Interceptor {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		panic(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		panic(err)
	}

	return onceconnect.NewServer(protect)
}

// Handler wraps the handler of the server.
func Handler(next http.Handler) http.Handler { return onceconnect.Handler(next) }

// Client returns the interceptor of the client. All unary calls have a key. The suite counts calls, so nothing is retried.
func Client() connect.Interceptor {
	client, err := onceconnect.NewClient(interceptor.WithAllMethods(), interceptor.WithRetry(retry.Policy{MaxAttempts: 1}))
	if err != nil {
		panic(err)
	}

	return client
}
