package consume

import (
	"context"
	"strings"

	"github.com/onlyonce-go/onlyonce"
)

// recovery returns the recovery function for the records of a method whose deliveries are gone, or nil.
func (h *handler) recovery(method string) onlyonce.RecoverFunc {
	if !strings.HasPrefix(method, Method(h.scope, "")) {
		return nil
	}

	return func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
		if len(rec.Request) == 0 {
			return h.recover(ctx, nil, rec)
		}

		m, err := decodeMessage(rec.Request)
		if err != nil {
			return onlyonce.StillUnknown(), err
		}

		return h.recover(ctx, m, rec)
	}
}
