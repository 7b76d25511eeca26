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

// RecoverMethod is the method of the records that keep two processes from recovering the same record at the same time.
const RecoverMethod = "onlyonce.recover"

// Own reports whether records of a method are the kit's own.
func Own(method string) bool { return method == RecoverMethod }
