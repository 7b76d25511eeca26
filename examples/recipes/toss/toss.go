// Package toss confirms payments with https://docs.tosspayments.com, once for each order.
package toss

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// payment is an answer of Toss. It is an error if Code is set.
type payment struct{ PaymentKey, Status, Code string }

// Confirm confirms the payment of an order. Every run of a call sends the same Idempotency-Key. Toss remembers the first answer for 15
// days: https://docs.tosspayments.com/guides/using-api/idempotency-key. Toss does not compare requests; the engine does.
func (t *Toss) Confirm(ctx context.Context, paymentKey, order string, amount int64) error {
	key, err := onlyonce.DeriveExternal(ctx, "confirm")
	if err != nil {
		return err
	}

	if run, _ := onlyonce.RunFromContext(ctx); run.Key != order {
		return onlyonce.NotExecuted(errors.New("the key of the call is not the order ID, so Recover would find another payment"))
	}

	request, err := json.Marshal(map[string]any{"paymentKey": paymentKey, "orderId": order, "amount": amount})
	if err != nil {
		return err
	}

	answer, err := t.send(ctx, http.MethodPost, "/v1/payments/confirm", key, request)

	switch {
	case err != nil:
		return err // the payment may have been confirmed
	case answer.Code == "REJECT_CARD_PAYMENT":
		return onlyonce.Final(fmt.Errorf("the payment was refused: %s", answer.Code))
	case answer.Status != "DONE": // a code such as IDEMPOTENT_REQUEST_PROCESSING, or an unconfirmed payment
		return fmt.Errorf("toss answered with code %q and status %q", answer.Code, answer.Status)
	default:
		return nil
	}
}

// Recover looks up the payment of an order: https://docs.tosspayments.com/common/apis/get-payment. The key of the call is the order ID.
func (t *Toss) Recover(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
	answer, err := t.send(ctx, http.MethodGet, "/v1/payments/orders/"+url.PathEscape(rec.ReadableKey), "", nil)
	if err != nil {
		return onlyonce.StillUnknown(), err
	}

	return Judge(answer.PaymentKey, answer.Status), nil
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

func (t *Toss) send(ctx context.Context, method, path, key string, request []byte) (answer payment, err error) {
	r, err := http.NewRequestWithContext(ctx, method, t.URL+path, bytes.NewReader(request))
	if err != nil {
		return answer, err
	}

	r.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}} // Toss ignores the key of a GET
	r.SetBasicAuth(t.Secret, "")

	resp, err := t.HTTP.Do(r)
	if err != nil {
		return answer, err
	}
	defer func() { _ = resp.Body.Close() }()

	err = json.NewDecoder(resp.Body).Decode(&answer) //nolint:musttag // encoding/json ignores the case of names

	return answer, err
}
