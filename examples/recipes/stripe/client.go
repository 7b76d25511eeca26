package stripe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Stripe is a client of the API at URL, which is https://api.stripe.com.
type Stripe struct {
	HTTP        *http.Client
	URL, Secret string
}

// Intent is a payment.
type Intent struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// send sends a request and decodes the answer. It returns the status 200 or 402, and an error for any other answer.
func (s *Stripe) send(ctx context.Context, method, path, key string, form url.Values, answer any) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}

	r.Header = http.Header{
		"Authorization": {"Bearer " + s.Secret}, "Content-Type": {"application/x-www-form-urlencoded"}, "Idempotency-Key": {key},
	}

	resp, err := s.HTTP.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()

	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPaymentRequired {
		return 0, fmt.Errorf("stripe answered %s", resp.Status) // such as 409, 429 and 500
	}

	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(answer)
}
