package sqlstore

import (
	"context"
	"fmt"
	"time"
)

// endBeyond is how long the end of a transaction may take when its time is over.
const endBeyond = DefaultTimeout

// waitForEnd sends a COMMIT or ROLLBACK and waits until it is answered, or until ctx has been over for a while. [database/sql] has no
// context for either, and some drivers wait for the answer as long as the connection seems to be there. That may take minutes if the
// connection has died in silence. The driver goes on by itself then.
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
