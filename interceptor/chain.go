package interceptor

import (
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// chain lists the methods that handlers of a server call under derived keys.
type chain []chained

// chained is a method that handlers of a server call under derived keys.
type chained struct {
	name      string
	retention time.Duration // 0: the retention in the .proto; negative: an invalid option
}

// WithDownstream declares which methods the server's handlers call under derived keys, and for how long the servers of these methods keep
// outcomes. Zero means the retention in the .proto of each method, or else 24 hours. Further options add methods.
//
// A repeated run relies on the records that the earlier run has made at these servers. A run may be repeated until the retention of its own
// method is over. So Validate reports each method of this server that may run again, and whose retention is longer than that of a
// downstream method.
//
// NewServer fails if the retention is negative or more than 100 years, or if there is no method. It also fails for a stream, and for a
// method that its linked-in service does not have.
func WithDownstream(retention time.Duration, fullMethods ...string) ServerOption {
	return func(c *serverConfig) {
		for _, name := range fullMethods {
			c.downstream = append(c.downstream, chained{name: name, retention: retention})
		}

		if retention < 0 || retention > maxRetention || len(fullMethods) == 0 {
			c.downstream = append(c.downstream, chained{retention: -1})
		}
	}
}

// validate reports invalid uses of WithDownstream.
func (c chain) validate() error {
	var errs []error

	for _, d := range c {
		if d.retention < 0 {
			errs = append(errs, errors.New("interceptor: WithDownstream needs methods and the time for which their servers keep outcomes: "+
				"name a method, and give a retention of at most 100 years, or zero for that of its .proto"))

			continue
		}

		errs = append(errs, checkMethodName(d.name), checkUnary("WithDownstream", d.name))
	}

	return errors.Join(errs...)
}

// kept returns for how long the servers of a method keep outcomes.
func (d chained) kept() time.Duration {
	if d.retention > 0 {
		return d.retention
	}

	if declared := annotationsOf(findMethod(splitMethod(d.name))).policy.Retention; declared > 0 {
		return declared
	}

	return onlyonce.DefaultRetention
}

// outlivedBy reports the methods whose records may be gone when a run of this method is repeated.
func (c chain) outlivedBy(name string, p *onlyonce.Policy) error {
	if !p.Guarantee.TakeoverAllowed() {
		return nil
	}

	var errs []error

	for _, d := range c {
		if kept := d.kept(); d.retention >= 0 && p.Retention > kept {
			errs = append(errs, fmt.Errorf("interceptor: %s may run again until its retention of %v is over, and %s, which it calls under "+
				"derived keys, keeps outcomes for %v, so the effect downstream may happen twice: lower the retention of the first, or raise that "+
				"of the second", name, p.Retention, d.name, kept))
		}
	}

	return errors.Join(errs...)
}
