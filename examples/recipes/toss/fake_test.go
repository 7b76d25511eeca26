package toss_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// fake behaves as Toss's documentation said on 2026-11-30: the first answer under a key is kept
// (https://docs.tosspayments.com/guides/using-api/idempotency-key), and a payment is found by its order.
type fake struct {
	mu        sync.Mutex
	order     string
	loseNext  bool // the next confirmation happens, and its answer is lost
	failFirst bool // the next request is lost before it is confirmed
	status    string
	confirmed int
	keys      map[string]bool // of confirmations
	sent      map[string]bool // of all requests
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if secret, _, _ := r.BasicAuth(); secret != "test_sk" {
		w.WriteHeader(http.StatusUnauthorized)

		return
	}

	if r.Method == http.MethodPost {
		f.sent[r.Header.Get("Idempotency-Key")] = true

		if f.failFirst {
			f.failFirst = false

			panic(http.ErrAbortHandler)
		}

		if key := r.Header.Get("Idempotency-Key"); !f.keys[key] {
			f.keys[key] = true
			f.confirmed++
			f.status = "DONE"
		}

		if f.loseNext {
			f.loseNext = false

			panic(http.ErrAbortHandler)
		}
	} else if !strings.HasSuffix(r.URL.Path, "/v1/payments/orders/order-7") || r.ContentLength != 0 {
		w.WriteHeader(http.StatusNotFound)
	}

	if err := json.NewEncoder(w).Encode(map[string]any{"paymentKey": "tviva1", "orderId": "order-7", "status": f.status}); err != nil {
		panic(err)
	}
}
