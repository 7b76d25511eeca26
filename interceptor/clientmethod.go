package interceptor

import (
	"errors"
	"time"
)

// clientMethod is what the .proto tells a client about a method, found once. What cannot hold does not make a method protected:
// the server refuses it, and its operators are told why. What is said of keys and retention beside it holds all the same for
// calls that are protected by an option.
type clientMethod struct {
	keyForm   keyForm
	keyField  *requestField // nil: the request carries no key
	protected bool          // the servers look at keys
	ignored   bool          // the servers do not, whatever is said of all methods
	retention time.Duration // for which the servers keep outcomes; 0: nothing is said
}

func clientMethodOf(fullMethod string) *clientMethod {
	service, name := splitMethod(fullMethod)
	said := annotationsOf(findMethod(service, name))

	m := &clientMethod{
		keyForm: keyForm{uuid: said.uuid}, keyField: said.key, retention: said.policy.Retention,
		ignored: said.reads || said.policy.Key == KeyIgnored || service == healthService,
	}

	m.protected = !m.ignored && (said.given || said.key != nil) && said.problems() == nil && !said.streaming

	if said.policy.KeyRules != nil {
		m.keyForm.rules = *said.policy.KeyRules
	}

	return m
}

// protected reports whether the servers look at keys of a method.
func (c *clientConfig) protected(fullMethod string) bool {
	if c.methods[fullMethod] {
		return true
	}

	m := c.known.get(fullMethod)

	// What is said of many methods at once does not overrule the .proto of one.
	return m.protected || !m.ignored && (c.all || c.match != nil && c.match(fullMethod))
}

// validateProtected reports an option that is to say what is protected and says nothing.
func (c *clientConfig) validateProtected() error {
	if c.named && len(c.methods) == 0 || c.matched && c.match == nil {
		return errors.New("interceptor: WithMethods and WithMethodMatch say which methods the servers protect, beside those whose " +
			".proto says so, and here they say nothing: name methods, give a function, or leave the option out")
	}

	return nil
}

// within is the time after the first attempt within which another may be made, where the .proto allows less than policy.
func (m *clientMethod) within(elapsed time.Duration) time.Duration {
	if m.retention == 0 {
		return elapsed
	}

	return min(elapsed, horizon(m.retention))
}

// latest is the time after the first attempt until which another one that has begun may be sent, where servers are said to keep
// outcomes for retention and the .proto may say less: half-way between the last beginning and the end of the retention.
func (m *clientMethod) latest(retention time.Duration) time.Duration {
	if m.retention > 0 {
		retention = min(retention, m.retention)
	}

	begin := horizon(retention)

	return begin + (retention-begin)/2 // half
}

// horizon is the time after the first attempt within which another may be made to servers that keep outcomes so long.
func horizon(retention time.Duration) time.Duration {
	const caution = 10 * time.Minute

	return max(retention-caution, retention/2) // half
}
