package interceptor

import (
	"cmp"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
)

// clientMethod is what the .proto tells a client about a method, found once. Annotations that cannot hold do not make a method
// protected: the server refuses the method and reports why. What they say of keys and retention still holds for calls that an
// option protects.
type clientMethod struct {
	keyForm   keyForm
	keyField  *requestField // nil: the request carries no key
	protected bool          // the servers look at keys
	ignored   bool          // the servers do not, whatever an option declares for all methods
	retention time.Duration // for which the servers keep outcomes; 0: not declared
	keyLife   time.Duration // of time-ordered keys; 0: not declared
}

func clientMethodOf(fullMethod string) *clientMethod {
	service, name := splitMethod(fullMethod)
	declared := annotationsOf(findMethod(service, name))

	m := &clientMethod{
		keyForm: keyForm{uuid: declared.uuid}, keyField: declared.key, retention: declared.policy.Retention, keyLife: declared.policy.KeyLife,
		ignored: declared.reads || declared.policy.Key == KeyIgnored || service == healthService,
	}

	m.protected = !m.ignored && (declared.given || declared.key != nil) && declared.problems() == nil && !declared.streaming

	if declared.policy.KeyRules != nil {
		m.keyForm.rules = *declared.policy.KeyRules
	}

	return m
}

// protected reports whether the servers look at keys of a method.
func (c *clientConfig) protected(fullMethod string) bool {
	if c.methods[fullMethod] {
		return true
	}

	m := c.known.get(fullMethod)

	// An option for many methods does not overrule the .proto of one.
	return m.protected || !m.ignored && (c.all || c.match != nil && c.match(fullMethod))
}

// validateProtected reports an option that should say which methods are protected and names none.
func (c *clientConfig) validateProtected() error {
	if c.named && len(c.methods) == 0 || c.matched && c.match == nil {
		return errors.New("interceptor: WithMethods names no method, or WithMethodMatch has no function: name the methods that the " +
			"servers protect, give a function, or leave the option out")
	}

	return nil
}

// attemptTimes bounds the attempts of a call after the first one, in time after the first one.
type attemptTimes struct {
	begin time.Duration // until when an attempt may begin
	send  time.Duration // until when an attempt that has begun may be sent, since it may wait for a connection
}

// attemptTimes returns the bounds for a call with a key whose first attempt begins now. No attempt begins that the server might run
// although an earlier one has run and its record has expired. For time-ordered keys the bound is the end of the key life, as on the
// server.
func (c *clientConfig) attemptTimes(m *clientMethod, key string, now time.Time) attemptTimes {
	life := c.retention
	if m.retention > 0 {
		life = min(life, m.retention)
	}

	if c.timeOrdered(m) {
		life = min(life, cmp.Or(m.keyLife, onlyonce.DefaultKeyLife))
	}

	begin := keytime.Usable(life)

	// A key that is older than that is only looked up, so that trying again is safe.
	if made, ok := onlyonce.KeyTime(key); ok && c.timeOrdered(m) {
		if left := made.Add(begin).Sub(now); left > 0 {
			begin = min(begin, left)
		}
	}

	return attemptTimes{begin: begin, send: begin + keytime.Tolerance(life)/2} // half
}
