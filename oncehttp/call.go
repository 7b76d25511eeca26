package oncehttp

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// call is one keyed request on a server.
type call struct {
	server *Server
	route  *route
	next   http.Handler
	w      http.ResponseWriter
	r      *http.Request // as it was received, without its body; a run never gets it

	call      onlyonce.Call
	body      []byte
	recorder  *recorder // of the latest run: goroutines that an earlier run has left behind cannot reach it
	forbidden error     // of the replay check

	values []string  // of the headers of the contract
	space  [4]string // memory for values
}

func (c *call) serve(keys []string) {
	c.values = c.space[:0]

	if err := c.prepare(keys); err != nil {
		c.refuseUnseen(err)

		return
	}

	reply, err := c.server.engine.Execute(c.r.Context(), &c.call, c.run)
	if err != nil {
		c.refuse(err)

		return
	}

	switch {
	case reply.Status == onlyonce.StatusReplayed:
		c.replay(&reply)
	case reply.Recorded:
		c.committed(&reply)
	case reply.Refused:
		c.sendProblem(&Problem{
			Status: http.StatusInternalServerError, Detail: "the transaction of this request was refused and rolled back; retry with the same key",
		}, reply.Status, reply.Retention)
	case reply.Shared:
		c.share(&reply)
	default:
		c.deliver(reply.Status, reply.Retention)
	}
}

// prepare reads the identity of the request, in the contract's order: scope, key, request.
func (c *call) prepare(keys []string) error {
	s := c.server

	scope, err := s.scope.of(c.r)
	if err != nil || scope == "" {
		return &onlyonce.Rejection{
			Reason: onlyonce.ReasonScopeMissing, Message: "the caller of this request cannot be identified; authenticate the request", Cause: err,
		}
	}

	c.call.Scope = scope

	if err := c.takeKey(keys); err != nil {
		return err
	}

	if s.preset.firstSent {
		if late := checkFirstSent(c.r.Header, c.route.policy.KeyLife, time.Now()); late != nil {
			return late
		}
	}

	if c.body, err = bodyOf(c.r, c.route.policy.MaxRequest); err != nil {
		return err
	}

	c.call.Fingerprint = fingerprintOf(c.r, c.route, c.body)
	c.call.Prepared = c.route.prepared

	if most := c.route.policy.KeepRequest; most > 0 && len(c.body) <= most {
		c.call.Request = encodeRequest(c.r, c.route.headers, c.body)
	}

	if c.route.exactly {
		c.call.Outcome = c.classify
	}

	if ask := c.route.policy.Recover; ask != nil {
		c.call.Recover = func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
			r := c.received(ctx)
			defer removeFiles(r)

			return ask(ctx, r, rec)
		}
	}

	if check := s.replayCheck; check != nil {
		c.call.ReplayCheck = func(ctx context.Context) error {
			r := c.received(ctx)
			defer removeFiles(r)

			c.forbidden = check(r)

			return c.forbidden
		}
	}

	return nil
}

// takeKey takes the key from the header.
func (c *call) takeKey(values []string) error {
	rules := onlyonce.KeyRules{}
	if own := c.route.policy.KeyRules; own != nil {
		rules = *own
	}

	switch len(values) {
	case 0:
		return &onlyonce.Rejection{
			Reason: onlyonce.ReasonKeyMissing,
			Message: "this request has no idempotency key; send the header " + c.server.keyHeader() +
				" with one key per operation, the same on every retry",
		}
	case 1:
	default:
		return invalidKey(fmt.Errorf("invalid idempotency key: the header %s has %d values; send one", c.server.keyHeader(), len(values)))
	}

	parse := c.server.preset.parse
	if parse == nil {
		parse = httprules.ParseKey
	}

	key, err := parse(values[0])
	if err != nil {
		return invalidKey(err)
	}

	c.call.Key = key

	if err := rules.Check(key); err != nil {
		return invalidKey(err)
	}

	c.call.TimeOrdered = rules.TimeOrdered

	return nil
}

func invalidKey(err error) *onlyonce.Rejection {
	return &onlyonce.Rejection{Reason: onlyonce.ReasonKeyInvalid, Message: err.Error()}
}

// received returns a copy of the request as it was received.
func (c *call) received(ctx context.Context) *http.Request {
	return new(readBody).in(c.r.Clone(ctx), c.body)
}
