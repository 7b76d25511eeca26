// Package toss confirms payments with https://docs.tosspayments.com, once for each order.
package toss

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/onlyonce-go/onlyonce"
)

// Toss is a client of the API at URL, which is https://api.tosspayments.com.
type Toss struct {
	HTTP        *http.Client
	URL, Secret string
}

// Payment is a payment, or an error if Code is set.
type Payment struct {
	Key    string `json:"paymentKey"`
	Order  string `json:"orderId"`
	Amount int64  `json:"totalAmount"`
	Status string `json:"status"`
	Code   string `json:"code"`
}

// Confirm confirms the payment of an order. Every run of a call sends the same Idempotency-Key. Toss remembers the first answer for 15
// days: https://docs.tosspayments.com/guides/using-api/idempotency-key. Toss does not compare requests; the engine does.
func (t *Toss) Confirm(ctx context.Context, paymentKey, order string, amount int64) (payment Payment, err error) {
	key, err := onlyonce.DeriveExternal(ctx, "confirm")
	if err != nil {
		return payment, err
	}

	request, err := json.Marshal(map[string]any{"paymentKey": paymentKey, "orderId": order, "amount": amount})
	if err != nil {
		return payment, err
	}

	switch err = t.send(ctx, http.MethodPost, "/v1/payments/confirm", key, request, &payment); {
	case err != nil:
		return payment, err // the payment may have been confirmed
	case payment.Code == "REJECT_CARD_PAYMENT":
		return payment, onlyonce.Final(fmt.Errorf("the payment was refused: %s", payment.Code))
	case payment.Status != "DONE": // a code such as IDEMPOTENT_REQUEST_PROCESSING, or an unconfirmed payment
		return payment, fmt.Errorf("toss answered with code %q and status %q", payment.Code, payment.Status)
	default:
		return payment, nil
	}
}

// Recover looks up the payment of an order: https://docs.tosspayments.com/common/apis/get-payment. The key of the call is the order ID.
func (t *Toss) Recover(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
	var payment Payment

	if err := t.send(ctx, http.MethodGet, "/v1/payments/orders/"+url.PathEscape(rec.ReadableKey), "", nil, &payment); err != nil {
		return onlyonce.StillUnknown(), err
	}

	return Judge(payment.Key, payment.Status), nil
}

// Judge decides what the status of a payment proves. A payment in READY or IN_PROGRESS may still be confirmed. It becomes EXPIRED after 30
// minutes.
func Judge(paymentKey, status string) onlyonce.Finding {
	switch status {
	case "DONE":
		return onlyonce.Happened("OK", []byte(paymentKey))
	case "EXPIRED", "ABORTED":
		return onlyonce.DidNotHappen()
	default:
		return onlyonce.StillUnknown()
	}
}

func (t *Toss) send(ctx context.Context, method, path, key string, request []byte, answer *Payment) error {
	r, err := http.NewRequestWithContext(ctx, method, t.URL+path, bytes.NewReader(request))
	if err != nil {
		return err
	}

	if request != nil {
		r.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}}
	}

	r.SetBasicAuth(t.Secret, "")

	resp, err := t.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()

	return json.NewDecoder(resp.Body).Decode(answer)
}
