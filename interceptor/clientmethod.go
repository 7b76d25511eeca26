package interceptor

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
)

// clientMethod is what the .proto of a method and the declarations tell a client. Invalid annotations do not make a method protected,
// because the server refuses the method and reports the reason. Their key form and their retention still hold if an option protects the
// method.
type clientMethod struct {
	reported  *atomic.Bool // a log line has reported that a server does not protect the method
	keyForm   keyForm
	keyField  *requestField // nil: the request carries no key
	protected bool          // the .proto declares that the servers read keys
	declared  bool          // WithClientDeclarations declares that the servers read keys
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

// furtherMethod makes all methods beyond the capacity of the cache share one report.
func (c *clientConfig) furtherMethod(m *clientMethod) *clientMethod {
	m.reported = &c.reportedFurther

	return m
}

// protected reports whether the servers protect a method.
func (c *clientConfig) protected(fullMethod string) bool {
	if c.methods[fullMethod] {
		return true
	}

	m := c.known.get(fullMethod)

	// An option for many methods does not override the .proto of one.
	return m.protected || m.declared || !m.ignored && (c.all || c.match != nil && c.match(fullMethod))
}

// validateProtected reports an option that must declare methods and names none.
func (c *clientConfig) validateProtected() error {
	if c.named && len(c.methods) == 0 || c.matched && c.match == nil {
		return errors.New("interceptor: WithMethods names no method, or WithMethodMatch has no function: name the methods that the " +
			"servers protect, give a function, or leave the option out")
	}

	return nil
}

// attemptTimes bounds the attempts of a call. Both times count from the first attempt.
type attemptTimes struct {
	begin time.Duration // the latest time at which an attempt may begin
	send  time.Duration // the latest time at which an attempt may be sent: it may wait for a connection before
}

// attemptTimes returns the bounds for a call whose first attempt began at a time. No attempt begins when the record of an earlier attempt
// may have expired, because the server might run it again. Declared is the retention in the server's answers; 0 means none. For
// time-ordered keys the end of the key life is a bound, too, as on the server.
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
		// The server only looks up a key that is older, so a retry is safe.
		if made, ok := onlyonce.KeyTime(key); ok && made.Add(begin).After(began) {
			begin = min(begin, made.Add(begin).Sub(began))
		}
	}

	return attemptTimes{begin: begin, send: begin + keytime.Tolerance(life)/2}
}
