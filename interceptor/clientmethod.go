package interceptor

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
)

// clientMethod is what the .proto tells a client about a method, found once. Annotations that cannot hold do not make a method
// protected: the server refuses the method and reports why. What they say of keys and retention still holds for calls that an
// option protects.
type clientMethod struct {
	reported  *atomic.Bool // it has been logged that a server does not protect the method
	keyForm   keyForm
	keyField  *requestField // nil: the request carries no key
	protected bool          // the .proto declares that the servers look at keys
	declared  bool          // WithClientDeclarations declares that the servers look at keys
	ignored   bool          // the servers ignore keys, even if an option declares all methods protected
	retention time.Duration // for which the servers keep outcomes; 0: not declared
	keyLife   time.Duration // of time-ordered keys; 0: not declared
}

func (c *clientConfig) method(fullMethod string) *clientMethod {
	service, name := splitMethod(fullMethod)
	annotated, declared := annotationsOf(findMethod(service, name)), c.declared.annotationsOf(fullMethod)

	m := &clientMethod{
		reported: new(atomic.Bool), keyForm: keyForm{uuid: declared.uuid}, keyField: declared.key,
		retention: declared.policy.Retention, keyLife: declared.policy.KeyLife,
		ignored: declared.reads || declared.policy.Key == KeyIgnored || service == healthService,
	}

	if !m.ignored && !declared.streaming && declared.problems() == nil {
		m.protected, m.declared = annotated.given || annotated.key != nil, declared.source != ""
	}

	if declared.policy.KeyRules != nil {
		m.keyForm.rules = *declared.policy.KeyRules
	}

	return m
}

// furtherMethod lets all methods that are too many to be kept be reported once together.
func (c *clientConfig) furtherMethod(m *clientMethod) *clientMethod {
	m.reported = &c.reportedFurther

	return m
}

// protected reports whether the servers look at keys of a method.
func (c *clientConfig) protected(fullMethod string) bool {
	if c.methods[fullMethod] {
		return true
	}

	m := c.known.get(fullMethod)

	// An option for many methods does not overrule the .proto of one.
	return m.protected || m.declared || !m.ignored && (c.all || c.match != nil && c.match(fullMethod))
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

// attemptTimes returns the bounds for a call whose first attempt began at a time. No attempt begins when the record of an earlier attempt
// may have expired, because the server might run it again. Declared is the retention in the server's answers; 0 means none. For
// time-ordered keys the bound is the end of the key life, as on the server.
func (c *clientConfig) attemptTimes(m *clientMethod, key string, began time.Time, declared time.Duration) attemptTimes {
	life := c.retention
	for _, shorter := range []time.Duration{m.retention, declared} {
		if shorter > 0 {
			life = min(life, shorter)
		}
	}

	ordered := c.timeOrdered(m)
	if ordered {
		life = min(life, cmp.Or(m.keyLife, onlyonce.DefaultKeyLife))
	}

	begin := keytime.Usable(life)

	if ordered {
		// A key that is older than that is only looked up, so that trying again is safe.
		if made, ok := onlyonce.KeyTime(key); ok && made.Add(begin).After(began) {
			begin = min(begin, made.Add(begin).Sub(began))
		}
	}

	return attemptTimes{begin: begin, send: begin + keytime.Tolerance(life)/2} // half
}
