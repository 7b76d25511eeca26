package interceptor

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
)

// keepRequest gives the engine the encoded request, if the policy keeps requests of its size.
func (c *serverCall) keepRequest(msg proto.Message) error {
	most := c.method.policy.KeepRequest
	if most <= 0 {
		return nil
	}

	return withoutPanic(func() (err error) {
		if proto.Size(msg) <= most {
			c.call.Request, err = proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		}

		return err
	})
}

// recovery returns the recovery function of a method for records without a call, or nil.
func (s *Server) recovery(fullMethod string) onlyonce.RecoverFunc {
	if checkMethodName(fullMethod) != nil {
		return nil // the record belongs to another transport
	}

	m := s.known.get(fullMethod)
	if m.recover == nil || m.broken != nil || m.input == nil {
		return nil
	}

	return func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
		req, err := m.keptRequest(&rec)
		if err != nil {
			return onlyonce.Finding{}, err
		}

		return m.recover(ctx, req, rec)
	}
}

// keptRequest returns the request that a record keeps, or nil.
func (m *method) keptRequest(rec *onlyonce.Record) (proto.Message, error) {
	if rec.Request == nil {
		return nil, nil //nolint:nilnil // see RecoverFunc
	}

	msg := m.input.New().Interface()

	if err := withoutPanic(func() error { return proto.Unmarshal(rec.Request, msg) }); err != nil {
		return nil, fmt.Errorf("interceptor: reading the kept request of record %v of %s: %w", rec.ID, m.name, err)
	}

	return msg, nil
}
