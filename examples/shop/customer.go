package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"time"

	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// patience is how long a customer retries.
const patience = time.Minute

// attempts is the maximum number of attempts of a customer, and of the shop.
const attempts = 20

// customers place orders. The ID of an order is its idempotency key, so the key is the same for every attempt.
type customers struct {
	url    string
	curls  int
	client *client
}

func (d *demo) newCustomers(addr string) (*customers, error) {
	c, err := newClient(d.without)
	if err != nil {
		return nil, err
	}

	return &customers{url: "http://" + addr + "/orders", curls: d.curls, client: c}, nil
}

func (c *customers) close() { c.client.close() }

// order places an order, with curl or with Go.
func (c *customers) order(ctx context.Context, i int) placed {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	o := order{ID: fmt.Sprintf("order-%06d", i), Cents: 1250}
	p := placed{id: o.ID, curl: c.curls > 0 && i%c.curls == 0}

	if p.curl {
		p.receipt, p.err = curl(ctx, c.url, o)
	} else {
		p.receipt, p.err = c.client.post(ctx, c.url, o.ID, o)
	}

	return p
}

// curl places an order like a script. All attempts of one curl have the same key.
func curl(ctx context.Context, url string, o order) (string, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return "", err
	}

	cmd := exec.CommandContext(ctx, "curl", "--silent", "--show-error", "--fail", "--max-time", "50", //nolint:gosec // our own arguments
		"--retry", "20", "--retry-all-errors", "--retry-delay", "1",
		"--header", "Idempotency-Key: "+o.ID, "--header", "Content-Type: application/json", "--data", string(body), url)

	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("curl: %w", err)
	}

	return readReceipt(out)
}

func readReceipt(body []byte) (string, error) {
	var got receipt

	if err := json.Unmarshal(body, &got); err != nil || got.Receipt == "" {
		return "", fmt.Errorf("%w: %s", errStatus, body)
	}

	return got.Receipt, nil
}

// client posts orders, and retries until there is an answer.
type client struct {
	http *http.Client
	base *http.Transport
}

// newClient returns a client with the transport of the kit, or with plain retries.
func newClient(without bool) (*client, error) {
	base := new(http.Transport)

	if without {
		return &client{&http.Client{Transport: plain{base}}, base}, nil
	}

	transport, err := oncehttp.NewTransport(base, oncehttp.WithRetry(retries()),
		oncehttp.WithPresumed(func(*http.Request) bool { return true })) // all servers in this program use the kit
	if err != nil {
		return nil, err
	}

	return &client{&http.Client{Transport: transport}, base}, nil
}

func retries() retry.Policy {
	return retry.Policy{MaxAttempts: attempts, BaseDelay: 10 * time.Millisecond, MaxDelay: 200 * time.Millisecond}
}

// post sends an order, with a key if there is one. Without a key, the transport derives a key from the run of the context.
func (c *client) post(ctx context.Context, url, key string, o order) (string, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return "", err
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}

	r.Header.Set("Content-Type", "application/json")

	if key != "" {
		r.Header.Set(oncehttp.KeyHeader, key)
	}

	resp, err := c.http.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read

	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}

	return readReceipt(got)
}

func (c *client) close() { c.base.CloseIdleConnections() }

// plain retries without the kit: it repeats a request if the connection breaks.
type plain struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (p plain) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	for range attempts {
		again := r.Clone(r.Context())
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}

		if resp, err = p.base.RoundTrip(again); err == nil {
			return resp, nil
		}
	}

	return nil, err // the last attempt
}
