// Package remotestore serves a store to other processes: Register serves a store over net/rpc, and Client is a store that uses it.
//
// It is for tests that kill processes. An in-memory store is lost with its process. A Client does not reconnect.
package remotestore

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Backend is a store that can be served.
type Backend interface {
	store.Store
	store.Inspector
	store.Forgetter
}

// serviceName is the name of the store's net/rpc service.
const serviceName = "Store"

// Register adds a store to a net/rpc server.
func Register(server *rpc.Server, backend Backend) error {
	if err := server.RegisterName(serviceName, &service{backend}); err != nil {
		return fmt.Errorf("remotestore: %w", err)
	}

	return nil
}

// Client is a store in another process. It is safe for concurrent use. Operations take effect even if their contexts end.
type Client struct {
	conn    *rpc.Client
	timeout time.Duration
}

var _ Backend = (*Client)(nil)

// New returns a client on a connection, which the caller closes. Timeout limits each operation.
func New(conn *rpc.Client, timeout time.Duration) *Client {
	return &Client{conn: conn, timeout: timeout}
}

// Claim implements [store.Store].
func (c *Client) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	return c.call(ctx, "Claim", op)
}

// Renew implements [store.Store].
func (c *Client) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	op.Receipt = nil // receipts do not cross the network

	return c.call(ctx, "Renew", op)
}

// Complete implements [store.Store].
func (c *Client) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	op.Receipt = nil // receipts do not cross the network

	return c.call(ctx, "Complete", op)
}

// Release implements [store.Store].
func (c *Client) Release(ctx context.Context, op store.Release) (store.Result, error) {
	op.Receipt = nil // receipts do not cross the network

	return c.call(ctx, "Release", op)
}

// Hold implements [store.Store].
func (c *Client) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	op.Receipt = nil // receipts do not cross the network

	return c.call(ctx, "Hold", op)
}

// Lookup implements [store.Inspector].
func (c *Client) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	return c.call(ctx, "Lookup", key)
}

// Resolve implements [store.Inspector].
func (c *Client) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	return c.call(ctx, "Resolve", op)
}

// Forget implements [store.Forgetter].
func (c *Client) Forget(ctx context.Context, op store.Forgetting) (store.Result, error) {
	return c.call(ctx, "Forget", op)
}

// Capabilities implements [store.Store].
func (c *Client) Capabilities() store.Capabilities {
	return store.Capabilities{Inspector: c, Forgetter: c}
}

func (c *Client) call(ctx context.Context, method string, op any) (store.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	if err := ctx.Err(); err != nil {
		return store.Result{}, fmt.Errorf("remotestore: %s was not sent: %w", method, err)
	}

	reply := new(Reply)
	sent := c.conn.Go(serviceName+"."+method, op, reply, make(chan *rpc.Call, 1))

	select {
	case <-sent.Done:
		if sent.Error != nil {
			return store.Result{}, fmt.Errorf("remotestore: %s: %w", method, sent.Error)
		}

		return reply.result()
	case <-ctx.Done():
		return store.Result{}, fmt.Errorf("remotestore: %s was not answered: %w", method, ctx.Err())
	}
}

// Reply is the reply to an operation. It is exported for net/rpc only.
type Reply struct {
	Result store.Result
	// Error is the error text of the store, or empty. Matches is the text of the sentinel that the error matches.
	Error, Matches string
}

func replyTo(res store.Result, err error) Reply {
	if err == nil {
		return Reply{Result: res}
	}

	reply := Reply{Error: err.Error()}

	for _, sentinel := range sentinels() {
		if errors.Is(err, sentinel) {
			reply.Matches = sentinel.Error()
		}
	}

	return reply
}

func (r *Reply) result() (store.Result, error) {
	if r.Error == "" {
		return r.Result, nil
	}

	for _, sentinel := range sentinels() {
		if r.Matches == sentinel.Error() {
			return store.Result{}, fmt.Errorf("remotestore: %s (%w)", r.Error, sentinel)
		}
	}

	return store.Result{}, errors.New("remotestore: " + r.Error)
}

func sentinels() [3]error { return [...]error{store.ErrFull, store.ErrUnreadable, store.ErrNewer} }
