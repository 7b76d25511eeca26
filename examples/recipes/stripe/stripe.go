// Package stripe charges cards with https://stripe.com, once for each key.
package stripe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Stripe is a client of the API at URL, which is https://api.stripe.com.
type Stripe struct {
	HTTP        *http.Client
	URL, Secret string
}

// Intent is a payment.
type Intent struct{ ID, Status string }

// Charge charges a card. Every run of a call sends the same Idempotency-Key, so Stripe answers a repeated request with the first result.
// Stripe remembers the key for at least 24 hours. The metadata contains the ID of the record, so that Recover finds the payment.
func (s *Stripe) Charge(ctx context.Context, card string, cents int) (intent Intent, err error) {
	key, err := onlyonce.DeriveExternal(ctx, "charge")
	if err != nil {
		return intent, err
	}

	run, _ := onlyonce.RunFromContext(ctx)
	form := url.Values{
		"amount": {strconv.Itoa(cents)}, "currency": {"usd"}, "payment_method": {card}, "confirm": {"true"}, "metadata[call]": {run.ID.String()},
	}
	err = s.send(ctx, http.MethodPost, "/v1/payment_intents", key, form, &intent)
	if err == nil && intent.Status != "succeeded" {
		err = fmt.Errorf("the payment is %s", intent.Status)
	}

	return intent, err // an error that is not Final is ambiguous: the payment may have been made
}

// Recover finds out whether a run has charged. Set it as the Recover function of the call.
func (s *Stripe) Recover(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
	var found struct{ Data []Intent }
	path := "/v1/payment_intents/search?query=" + url.QueryEscape(`metadata["call"]:"`+rec.ID.String()+`"`)
	if err := s.send(ctx, http.MethodGet, path, "", nil, &found); err != nil {
		return onlyonce.StillUnknown(), err
	}

	return Judge(found.Data, rec.LookedUpAt.Sub(rec.OwnerAliveUntil)), nil
}

// SearchLag is longer than the delay of Stripe's search: normally less than a minute, and up to an hour during outages.
const SearchLag = 2 * time.Hour

// Judge decides what a search for the payments of a call proves. Since is the time since the last run could send a request.
func Judge(found []Intent, since time.Duration) onlyonce.Finding {
	for _, intent := range found {
		switch {
		case intent.Status == "succeeded":
			return onlyonce.Happened("OK", []byte(intent.ID))
		case intent.Status != "requires_payment_method": // the status of a declined payment
			return onlyonce.StillUnknown()
		}
	}

	if since <= SearchLag {
		return onlyonce.StillUnknown()
	}

	return onlyonce.DidNotHappen()
}

func (s *Stripe) send(ctx context.Context, method, path, key string, form url.Values, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}

	r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Idempotency-Key": {key}}
	r.SetBasicAuth(s.Secret, "")

	resp, err := s.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
		return json.NewDecoder(resp.Body).Decode(answer)
	case http.StatusPaymentRequired:
		return onlyonce.Final(fmt.Errorf("stripe declined the card: %s", resp.Status))
	default:
		return fmt.Errorf("stripe answered %s", resp.Status) // such as 409, 429 and 500
	}
}
