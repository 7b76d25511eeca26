package interceptor

import (
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// chained is a method that handlers of a server call under derived keys.
type chained struct {
	name      string
	retention time.Duration // 0: what the .proto says
}

// WithDownstream tells Validate which methods the server's handlers call under derived keys, and for how long their servers keep
// outcomes; zero means what the .proto of each says, or else the default of 24 hours. Given again, it adds others.
//
// A run that is repeated relies on the records that it has made downstream, and it may be repeated until its own retention is over. So
// Validate reports every method that may run again and keeps its outcomes for longer than one of these.
func WithDownstream(retention time.Duration, fullMethods ...string) ServerOption {
	return func(c *serverConfig) {
		for _, name := range fullMethods {
			c.downstream = append(c.downstream, chained{name: name, retention: retention})
		}

		if retention < 0 || len(fullMethods) == 0 {
			c.downstream = append(c.downstream, chained{retention: -1})
		}
	}
}

// validateDownstream reports what WithDownstream cannot mean.
func (c *serverConfig) validateDownstream() error {
	var errs []error

	for _, d := range c.downstream {
		if d.retention < 0 {
			errs = append(errs, errors.New("interceptor: WithDownstream needs methods, and the time for which their servers keep outcomes, or "+
				"zero for what their .proto says"))

			continue
		}

		errs = append(errs, checkMethodName(d.name))
	}

	return errors.Join(errs...)
}

// kept is for how long the servers of a method keep outcomes.
func (d chained) kept() time.Duration {
	if d.retention > 0 {
		return d.retention
	}

	if said := annotationsOf(findMethod(splitMethod(d.name))).policy.Retention; said > 0 {
		return said
	}

	return onlyonce.DefaultRetention
}

// outlives reports the methods downstream whose records may be gone when a run of this method is repeated.
func (c *serverConfig) outlives(name string, p *onlyonce.Policy) error {
	if !p.Guarantee.TakeoverAllowed() {
		return nil
	}

	var errs []error

	for _, d := range c.downstream {
		if kept := d.kept(); d.retention >= 0 && p.Retention > kept {
			errs = append(errs, fmt.Errorf("interceptor: %s may run again until its retention of %v is over, and %s, which it calls under "+
				"derived keys, keeps outcomes for %v, so that its effect may then happen twice: lower the retention of the one, or raise that "+
				"of the other", name, p.Retention, d.name, kept))
		}
	}

	return errors.Join(errs...)
}
