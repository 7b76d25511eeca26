// Package stripe charges cards with https://stripe.com, once for each key.
package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Charge charges a card. Every run of a call sends the same Idempotency-Key, so Stripe answers a repeated request with the first result.
// Stripe remembers the key for at least 24 hours. The metadata contains the key of the call, so that Recover finds the payment.
func (s *Stripe) Charge(ctx context.Context, card string, cents int64) (intent Intent, err error) {
	key, err := onlyonce.DeriveExternal(ctx, "charge")
	if err != nil {
		return intent, err
	}

	run, _ := onlyonce.RunFromContext(ctx)
	form := url.Values{
		"amount": {strconv.FormatInt(cents, 10)}, "currency": {"usd"}, "payment_method": {card}, "confirm": {"true"}, "metadata[call]": {run.Key},
	}

	status, err := s.send(ctx, http.MethodPost, "/v1/payment_intents", key, form, &intent)

	switch {
	case err != nil:
		return intent, err // the payment may have been made
	case status == http.StatusPaymentRequired:
		return intent, onlyonce.Final(errors.New("the card was declined"))
	case intent.Status != "succeeded":
		return intent, fmt.Errorf("the payment is %s", intent.Status)
	default:
		return intent, nil
	}
}

// Recover finds out whether a run has charged. Set it as the Recover function of the call.
func (s *Stripe) Recover(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
	query := `metadata["call"]:"` + strings.ReplaceAll(rec.ReadableKey, `"`, `\"`) + `"`

	var found struct {
		Data []Intent `json:"data"`
	}

	if _, err := s.send(ctx, http.MethodGet, "/v1/payment_intents/search?query="+url.QueryEscape(query), "", nil, &found); err != nil {
		return onlyonce.StillUnknown(), err
	}

	return Judge(found.Data, rec.LookedUpAt.Sub(rec.OwnerAliveUntil)), nil
}

// SearchLag is longer than the delay of Stripe's search: normally less than a minute, and up to an hour during outages.
const SearchLag = 2 * time.Hour

// Judge decides what a search for the payments of a call proves. Since is the time since the last run could send a request.
func Judge(found []Intent, since time.Duration) onlyonce.Finding {
	for _, intent := range found {
		if intent.Status == "succeeded" {
			return onlyonce.Happened("OK", []byte(intent.ID))
		}
	}

	if len(found) == 0 && since > SearchLag {
		return onlyonce.DidNotHappen()
	}

	return onlyonce.StillUnknown()
}
