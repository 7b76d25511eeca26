package sqlstore

import (
	"context"
	"fmt"
	"time"
)

// endBeyond is how long the end of a transaction may take after its deadline.
const endBeyond = DefaultTimeout

// waitForEnd sends a COMMIT or ROLLBACK and waits for its answer, up to endBeyond after the end of ctx. [database/sql] has no context for
// either. Some drivers wait as long as the connection seems alive, which may be minutes on a dead connection. The driver then continues in
// the background.
func waitForEnd(ctx context.Context, end func() error) error {
	ended := make(chan error, 1)

	go func() { ended <- end() }()

	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}

	patience := time.NewTimer(endBeyond)
	defer patience.Stop()

	select {
	case err := <-ended:
		return err
	case <-patience.C:
		return fmt.Errorf("the database has not answered in time: %w", ctx.Err())
	}
}

// rollBack rolls a transaction back, unless it has ended. The wait is short, because nobody needs the answer.
func rollBack(ctx context.Context, tx interface{ Rollback() error }) {
	over, cancel := context.WithCancel(ctx)
	cancel()

	_ = waitForEnd(over, tx.Rollback)
}
