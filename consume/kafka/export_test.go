package oncekafka

import "time"

// WithRetry sets after which time a dead letter that was refused is produced again.
func WithRetry(d time.Duration) Option { return func(c *Consumer) { c.retry = d } }

// Only returns the regular expression that leaves out a topic.
var Only = only
