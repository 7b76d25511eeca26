package oncehttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func Example() {
	// The server.
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		panic(err)
	}

	protect, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(),
		oncehttp.WithRoute("POST /payments", oncehttp.Policy{Key: oncehttp.KeyRequired}))
	if err != nil {
		panic(err)
	}

	payments := 0
	mux := http.NewServeMux()
	mux.HandleFunc("POST /payments", func(w http.ResponseWriter, _ *http.Request) {
		payments++

		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, "payment %d", payments)
	})

	server := httptest.NewServer(protect(mux))
	defer server.Close()

	// The client. Without a key in the context, the transport makes one.
	transport, err := oncehttp.NewTransport(server.Client().Transport)
	if err != nil {
		panic(err)
	}

	client := &http.Client{Transport: transport}
	ctx := onlyonce.ContextWithKey(context.Background(), "order-7")

	for _, amount := range []string{"19.99", "19.99", "5.00"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/payments", strings.NewReader(amount))
		if err != nil {
			panic(err)
		}

		resp, err := client.Do(req)
		if err != nil {
			panic(err)
		}

		body, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(err)
		}

		_ = resp.Body.Close()

		switch outcome := oncehttp.OutcomeOf(resp, nil); outcome.Status {
		case onlyonce.StatusRejected:
			fmt.Println(resp.StatusCode, outcome.Status, outcome.Reason)
		default:
			fmt.Println(resp.StatusCode, outcome.Status, string(body))
		}
	}

	// Output:
	// 201 executed payment 1
	// 201 replayed payment 1
	// 422 rejected IDEMPOTENCY_KEY_REUSED
}
