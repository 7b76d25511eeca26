// Package housekeeping shows the kit's own records to the parts of the kit that look after them. Everybody else does not see them in lists.
package housekeeping

import "context"

type housekeeping struct{}

// With returns a context with which lists have the kit's own records, too.
func With(ctx context.Context) context.Context {
	return context.WithValue(ctx, housekeeping{}, true)
}

// In reports whether the context is one of With.
func In(ctx context.Context) bool {
	return ctx.Value(housekeeping{}) != nil
}
