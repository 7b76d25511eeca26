package pages

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
)

// Settle is the tool of docs/operating.md.
func Settle(
	ctx context.Context, engine *onlyonce.Engine, decide func(onlyonce.Record) operate.Decision,
) error {
	found, err := operate.List(ctx, engine, operate.Filter{Method: "/payments.*", Older: 5 * time.Minute})
	if err != nil {
		return err
	}

	for _, rec := range found.Records {
		plan := operate.Plan(rec, decide(rec)) // the planned change as data; nothing is written
		if plan.Refused != nil {
			continue
		}

		if err := operate.Settle(ctx, engine, plan); err != nil {
			return err
		}
	}

	return nil
}
