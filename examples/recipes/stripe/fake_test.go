package stripe_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// fake behaves as Stripe's documentation said on 2026-11-30:
//   - https://docs.stripe.com/api/idempotent_requests: the first result under a key is kept, whether it succeeds or fails. Other parameters
//     under the key are an error.
//   - https://docs.stripe.com/api/payment_intents/search: data is usually searchable in less than a minute.
type fake struct {
	mu         sync.Mutex
	loseNext   bool // the next charge happens, and its answer is lost
	loseBefore bool // the next request is lost before the charge
	lagging    bool // search does not see anything yet
	results    map[string]result
	charged    []string // the values of metadata[call]
}

type result struct {
	params string
	status int
	body   string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if err := r.ParseForm(); err != nil {
		panic(err)
	}

	if r.Method == http.MethodGet {
		f.search(w, r)

		return
	}

	if f.loseBefore {
		f.loseBefore = false

		panic(http.ErrAbortHandler)
	}

	key, params := r.Header.Get("Idempotency-Key"), r.PostForm.Encode()

	first, ok := f.results[key]
	if !ok {
		first = f.charge(r)
		first.params = params
		f.results[key] = first
	}

	if first.params != params {
		first.status, first.body = http.StatusBadRequest, `{"error": {"type": "idempotency_error"}}`
	}

	if f.loseNext {
		f.loseNext = false

		panic(http.ErrAbortHandler)
	}

	w.WriteHeader(first.status)
	fmt.Fprint(w, first.body)
}

func (f *fake) charge(r *http.Request) result {
	if r.PostForm.Get("payment_method") == "pm_card_chargeDeclined" {
		return result{status: http.StatusPaymentRequired, body: `{"error": {"type": "card_error"}}`}
	}

	f.charged = append(f.charged, r.PostForm.Get("metadata[call]"))

	return result{status: http.StatusOK, body: fmt.Sprintf(`{"id": "pi_%d", "status": "succeeded"}`, len(f.charged))}
}

func (f *fake) search(w http.ResponseWriter, r *http.Request) {
	type intent struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}

	data := []intent{}

	for i, call := range f.charged {
		if r.Form.Get("query") == fmt.Sprintf("metadata[%q]:%q", "call", call) && !f.lagging {
			data = append(data, intent{fmt.Sprintf("pi_%d", i+1), "succeeded"})
		}
	}

	if err := json.NewEncoder(w).Encode(map[string]any{"data": data}); err != nil {
		panic(err)
	}
}
