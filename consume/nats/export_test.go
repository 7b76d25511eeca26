package oncenats

import "time"

// WithRetry sets after which time a dead letter that was not stored is published again.
func WithRetry(d time.Duration) Option { return func(c *Consumer) { c.retry = d } }
