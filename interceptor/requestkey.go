package interceptor

import (
	"context"
	"fmt"

	"github.com/onlyonce-go/onlyonce"
)

// takeScope reads the scope of a call from the server's Scope, and from the request fields that are part of the scope.
func (c *serverCall) takeScope(ctx context.Context) error {
	scope, err := c.server.scope.of(ctx)
	if err != nil || scope == "" {
		return missingScope("the caller of this idempotent method cannot be identified; authenticate the call", err)
	}

	if len(c.method.scope) == 0 {
		c.call.Scope = scope

		return nil
	}

	var space [4]string

	values := space[:0]

	for _, field := range c.method.scope {
		value, _, ok := field.in(c.req)
		if !ok {
			return errUnrecordable(c.method, c.req)
		}

		// All callers that leave the field empty would share one scope.
		if value == "" {
			return missingScope(fmt.Sprintf("field %s of the request is empty and is part of the scope of this idempotent call; fill it in",
				field.name), nil)
		}

		values = append(values, value)
	}

	c.call.Scope = JoinScope(scope, values...)

	return nil
}

func missingScope(message string, cause error) *onlyonce.Rejection {
	return &onlyonce.Rejection{Reason: onlyonce.ReasonScopeMissing, Message: message, Cause: cause}
}

// takeKey reads the key of a call from the metadata or from the request field that is marked as the key.
func (c *serverCall) takeKey(keys []string) error {
	inField, set, ok := c.method.keyField.in(c.req)
	if !ok {
		return errUnrecordable(c.method, c.req)
	}

	form := &c.method.keyForm
	inField = form.normal(inField)

	switch {
	case len(keys) > 1:
		return invalid(fmt.Sprintf("metadata %s has %d values and must have one", KeyHeader, len(keys)))
	case len(keys) == 0 && !set:
		return c.missingKey()
	case len(keys) == 0:
		c.call.Key, c.badField = inField, string(c.method.keyField.name)
	default:
		c.call.Key = form.normal(keys[0])
	}

	if problem := form.check(c.call.Key); problem != "" {
		return invalid(problem)
	}

	if set && inField != c.call.Key {
		c.badField = string(c.method.keyField.name)

		return invalid(fmt.Sprintf("field %s of the request and metadata %s have different keys; send one key, in either of them or in both",
			c.badField, KeyHeader))
	}

	return nil
}

func invalid(message string) *onlyonce.Rejection {
	return &onlyonce.Rejection{Reason: onlyonce.ReasonKeyInvalid, Message: message}
}

func (c *serverCall) missingKey() *onlyonce.Rejection {
	where := "metadata " + KeyHeader

	if field := c.method.keyField; field != nil {
		c.badField = string(field.name)
		where = "field " + c.badField + " or metadata " + KeyHeader
	}

	return &onlyonce.Rejection{
		Reason:  onlyonce.ReasonKeyMissing,
		Message: "this method requires " + where + "; send one key per operation, the same on every retry",
	}
}
