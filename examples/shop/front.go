package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// order is the request of a customer. charge is the request to a payment service over net/http.
type order struct {
	ID    string `json:"orderId"`
	Cents int64  `json:"cents,string"` // gRPC writes 64-bit numbers as JSON strings
}

// receipt is the answer.
type receipt struct {
	Receipt string `json:"receipt"`
}

// payFunc charges the customer of an order.
type payFunc func(ctx context.Context, o order) (receipt string, err error)

// newFront returns the front end of the shop: POST /orders places an order and pays for it.
func newFront(without bool, pay payFunc) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("POST /orders", answering(http.StatusBadGateway, pay))

	if without {
		return mux, nil
	}

	// After an unknown outcome, the order may run again. The payment has a key derived from the order's key, so the second run gets the
	// payment of the first.
	return protect(mux, "POST /orders", onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
}

// protect wraps a handler in the middleware. Every request of the route needs a key.
func protect(next http.Handler, route string, policy onlyonce.Policy) (http.Handler, error) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		return nil, err
	}

	middleware, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(),
		oncehttp.WithRoute(route, oncehttp.Policy{Policy: policy, Key: oncehttp.KeyRequired}))
	if err != nil {
		return nil, err
	}

	return middleware(next), nil
}

// answering returns a handler that pays. It answers with the receipt, or with a status if the payment fails.
func answering(failed int, pay payFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var o order

		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)

			return
		}

		paid, err := pay(r.Context(), o)
		if err != nil {
			http.Error(w, err.Error(), failed)

			return
		}

		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(receipt{paid}) // fails if the customer has gone
	})
}
