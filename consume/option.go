package consume

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// RecoverFunc finds out what became of a run whose outcome is unknown: see onlyonce.RecoverFunc for when it is called and what becomes of
// its result. The message is that of the duplicate. It returns [FindingOf], onlyonce.DidNotHappen or onlyonce.StillUnknown.
//
// Package reconcile calls the function without a duplicate. The message is then the one that the record keeps. It is nil if
// Policy.KeepRequest is not set or the message was larger. It never has Extend.
type RecoverFunc func(ctx context.Context, m *Message, rec onlyonce.Record) (onlyonce.Finding, error)

// Option changes a handler under construction.
type Option func(*config)

type config struct {
	engine  *onlyonce.Engine
	scope   string
	key     KeyFunc
	handle  func(ctx context.Context, m *Message) error
	policy  onlyonce.Policy
	keys    onlyonce.KeyRules
	content func(m *Message) []byte
	recover RecoverFunc
	rules   rules
}

// WithPolicy sets the policy of the messages: guarantee, retention, longest run, MaxAttempts and the rest. Later options override earlier
// ones, field by field. A field that is zero is the engine's.
func WithPolicy(p onlyonce.Policy) Option { return func(c *config) { c.policy = p.Over(c.policy) } }

// WithKeyRules sets which keys are accepted. The default is 1 to 255 printable ASCII characters. With TimeOrdered, keys are UUIDs of
// version 7, such as those of onlyonce.NewKey. A message with an old key whose record has expired then becomes a dead letter, and does not
// run a second time. So does a message whose key is more than 10 minutes in the future, by the clock of this process. Its cause is
// CauseKey.
func WithKeyRules(rules onlyonce.KeyRules) Option { return func(c *config) { c.keys = rules } }

// WithContent sets the bytes in which all messages with one key must agree. The default, and nil, is the key and the data. Leave out what
// a producer changes when it sends the same message again, such as the time of sending. With a function that returns nil, all messages with
// one key count as the same. A new build may change the function. Then a message that the old build has handled may become a dead letter
// with CauseReused when it is delivered again. To set the first function, or to remove it, has no such effect.
func WithContent(content func(m *Message) []byte) Option {
	return func(c *config) { c.content = content }
}

// WithRecover sets the function that finds out what became of a run whose outcome is unknown. It needs a store that can settle records: see
// onlyonce.Engine.CanResolve. The default, and nil, is no function: such a message ends as a dead letter or is settled by an operator.
func WithRecover(find RecoverFunc) Option { return func(c *config) { c.recover = find } }

// WithFinalErrors sets the action for a message whose handler has ended with a Final error: DeadLetter, which is the default, or Ack.
func WithFinalErrors(action Action) Option { return func(c *config) { c.rules.final = action } }

// WithBackoff sets how long a message waits before its next delivery, after the given number of attempts or deliveries, which is at least
// 1. The default, and nil, is one second, doubled each time, up to one minute, and multiplied by a random factor from 0.5 to 1.5. It must
// be safe for concurrent use.
func WithBackoff(backoff func(attempt int) time.Duration) Option {
	return func(c *config) { c.rules.backoff = backoff }
}

// DefaultMaxDeliveries is the default of WithMaxDeliveries under ExactlyOnce in a single transaction.
const DefaultMaxDeliveries = 100

// WithMaxDeliveries bounds the deliveries of a message without an outcome. A later delivery runs nothing and is a dead letter with
// CausePoison. 0 is no bound. The default is DefaultMaxDeliveries under ExactlyOnce in a single transaction, if the store can look records
// up. Otherwise it is no bound.
//   - It is for messages that kill their process in a single transaction. The transaction leaves nothing behind to count by, and the
//     process forgets its own count. MaxAttempts ends all other messages.
//   - Deliveries that have ended in this process do not count. Those that have ended in other processes count, also those for which the
//     store was down. So a low number makes dead letters of good messages after an outage.
//   - It needs Message.Deliveries, and a store that can look records up: see onlyonce.Engine.CanResolve.
//   - Message.Deliveries is 0 on a classic queue of RabbitMQ, and begins at 1 again when a partition of Kafka moves. There a message that
//     kills its process has no bound: use a joined transaction.
func WithMaxDeliveries(n int) Option { return func(c *config) { c.rules.maxDeliveries = n } }

// validate reports everything that cannot hold.
func (c *config) validate() error {
	var errs []error

	addf := func(format string, args ...any) { errs = append(errs, fmt.Errorf("consume: "+format, args...)) }

	if c.engine == nil {
		return errors.New("consume: Handler has no engine: make one with onlyonce.New")
	}

	if c.scope == "" || strings.Contains(c.scope, "/") {
		addf("the scope is %q: name the consumer, such as billing, without a slash", c.scope)
	}

	if c.key == nil {
		addf("Handler has no KeyFunc: use ByID, ByPosition, ByHeader or a function of your own")
	}

	if c.handle == nil {
		addf("Handler has no function that handles a message")
	}

	if err := c.engine.Validate(c.policy); err != nil {
		errs = append(errs, err)
	}

	if err := c.keys.Validate(); err != nil {
		errs = append(errs, err)
	}

	whole := c.engine.Policy(c.policy)

	if c.keys.TimeOrdered && whole.ErrorRetention < whole.KeyLife {
		addf("ErrorRetention is %v and time-ordered keys make records for KeyLife, which is %v, so a key could run again: give at least "+
			"KeyLife, or a shorter KeyLife", whole.ErrorRetention, whole.KeyLife)
	}

	if whole.Shadow == onlyonce.ShadowOn {
		addf("Shadow is ShadowOn, and messages have no shadow mode: give ShadowOff")
	}

	if c.recover != nil && !c.engine.CanResolve() {
		addf("WithRecover is set, and the store cannot settle records: use a store that is a store.Inspector")
	}

	if c.rules.final != DeadLetter && c.rules.final != Ack {
		addf("WithFinalErrors is %v: give DeadLetter or Ack", c.rules.final)
	}

	if c.rules.maxDeliveries < 0 && c.rules.maxDeliveries != unset {
		addf("WithMaxDeliveries is %d: give 1 or more, or 0 for no bound", c.rules.maxDeliveries)
	}

	if c.rules.maxDeliveries > 0 && !c.engine.CanResolve() {
		addf("WithMaxDeliveries is set, and the store cannot look records up: use a store that is a store.Inspector")
	}

	return errors.Join(errs...)
}
