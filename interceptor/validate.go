package interceptor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/retry"
)

// ServiceInfoProvider is a server that lists its services, such as a *grpc.Server.
type ServiceInfoProvider interface {
	GetServiceInfo() map[string]grpc.ServiceInfo
}

// Validate checks every registered method of a server against its .proto, the options and the engine. It reports every problem at once,
// each with the method or the field and the remedy. Call it at start-up, when all services are registered:
//
//	protect, err := interceptor.NewServer(engine, scope, interceptor.WithPolicy(policy))
//	…
//	server := grpc.NewServer(grpc.ChainUnaryInterceptor(protect.Unary), grpc.ChainStreamInterceptor(protect.Stream))
//	paymentsv1.RegisterPaymentServiceServer(server, payments)
//	…
//	err = protect.Validate(server)
//
// Without Validate, invalid options are found by the first call of a method, which is then refused.
//
// Validate also reports problems that no single call shows:
//   - options for services and methods that are not registered, and streams whose policy demands a key,
//   - methods whose messages cannot be recorded, because no descriptor is registered or package proto cannot read the Go type,
//   - methods under ExactlyOnce in a single transaction that do not require a key: a call without a key has no transaction,
//   - a retention of outcomes or of errors that is shorter than the time for which clients retry by default,
//   - methods that may run again and have a longer retention than the methods in WithDownstream,
//   - a Retention or KeyLife that is shorter than the .proto promises clients,
//   - settings of WithPolicy or WithServicePolicy that weaken the .proto of a method. To weaken it on purpose, use WithMethodPolicy: it may
//     override everything in the .proto except retention and key_life.
//
// Methods in shadow mode are no problem. The engine's observer gets an EventShadowMode for each of them: see [Server.ShadowMethods].
func (s *Server) Validate(server ServiceInfoProvider) error {
	if server == nil {
		return errors.New("interceptor: Validate needs a server, such as a *grpc.Server")
	}

	problems := problemList{seen: make(map[string]bool)}
	problems.add(s.validateOptions()) // again: descriptors may have been registered since NewServer

	registered := server.GetServiceInfo()

	for _, service := range slices.Sorted(maps.Keys(registered)) {
		methods := slices.SortedFunc(slices.Values(registered[service].Methods), func(a, b grpc.MethodInfo) int {
			return strings.Compare(a.Name, b.Name)
		})

		for _, info := range methods {
			problems.add(s.judgeMethod(service, info))
		}
	}

	problems.add(s.unregistered(registered))

	s.reportShadow(server)

	return problems.join()
}

// judgeMethod reports the problems of a registered method.
func (c *serverConfig) judgeMethod(service string, info grpc.MethodInfo) error {
	name := "/" + service + "/" + info.Name
	declared := c.declared.annotationsOf(name)

	if info.IsClientStream || info.IsServerStream {
		return c.judgeStream(name, &declared)
	}

	m := c.method(name)
	errs := []error{m.broken}

	if m.key == KeyIgnored && (declared.reads || declared.policy.Key == KeyIgnored) {
		return m.broken
	}

	errs = append(errs, c.weakened(name, &declared))

	if m.key == KeyIgnored {
		return errors.Join(errs...)
	}

	errs = append(errs, m.unrecordable)

	if m.broken == nil && m.key == KeyOptional && hasSingleTransaction(&m.policy) {
		errs = append(errs, fmt.Errorf("interceptor: %s gives its handler the transaction of the key, and a call without a key has none: "+
			"set KEY_USE_REQUIRED in its .proto or KeyRequired, or JoinedTransaction for a handler that opens its own transaction", name))
	}

	errs = append(errs, m.judgeTimes(&declared)...)
	errs = append(errs, m.judgeErrorTimes(&declared, c.chosen(name).ErrorRetention)...)

	return errors.Join(append(errs, c.downstream.outlivedBy(name, &m.policy))...)
}

// judgeTimes reports retentions and key lives that are shorter than clients rely on.
func (m *method) judgeTimes(declared *annotations) []error {
	var errs []error

	retention, keyLife := declared.policy.Retention, declared.promisedKeyLife()

	if m.policy.Retention < retention {
		errs = append(errs, fmt.Errorf("interceptor: %s keeps outcomes for %v by an option of the server, and %s promises clients %v: "+
			"raise Retention, or lower retention in %[3]s", m.name, m.policy.Retention, declared.origin(), retention))
	} else if m.keyForm.rules.TimeOrdered && m.policy.KeyLife < keyLife {
		errs = append(errs, fmt.Errorf("interceptor: %s accepts keys for %v by an option of the server, and %s promises clients %v: "+
			"raise KeyLife, or lower key_life in %[3]s", m.name, m.policy.KeyLife, declared.origin(), keyLife))
	}

	if least := leastRetention(m.policy); m.broken == nil && m.policy.Retention < least {
		errs = append(errs, errTooShort(m.name, "outcomes", m.policy.Retention, least))
	}

	return errs
}

// judgeErrorTimes reports retentions of errors that are shorter than clients rely on. Chosen is the ErrorRetention of the options. If it is
// zero, the ErrorRetention of the engine may break the promise of the .proto. Options for many methods that do so are reported by
// weaknesses.
func (m *method) judgeErrorTimes(declared *annotations, chosen time.Duration) []error {
	if m.broken != nil {
		return nil
	}

	var errs []error

	if promised := promisedErrorRetention(&declared.policy); chosen == 0 && m.policy.ErrorRetention < min(promised, m.policy.Retention) {
		errs = append(errs, fmt.Errorf("interceptor: %s keeps errors for %v by the policy of the engine, and %s promises clients %v: "+
			"set error_retention in %[3]s, or ErrorRetention in WithMethodPolicy", m.name, m.policy.ErrorRetention, declared.origin(), promised))
	}

	least := leastRetention(m.policy)
	bound := min(least, m.policy.Retention) // a shorter Retention is a problem of its own

	if m.policy.ErrorRetention < bound {
		errs = append(errs, errTooShort(m.name, "errors", m.policy.ErrorRetention, least))
	}

	for _, code := range slices.Sorted(maps.Keys(m.kept.retentions)) {
		if retention := m.kept.retentions[code]; retention < bound {
			errs = append(errs, errTooShort(m.name, codeName(code), retention, least))
		}
	}

	return errs
}

func errTooShort(method, what string, kept, least time.Duration) error {
	return fmt.Errorf("interceptor: %s keeps %s for %v, and a client that retries as it does by default may take %v: "+
		"raise the retention to at least that, or lower MaxRun and MaxWait", method, what, kept, least)
}

func hasSingleTransaction(p *onlyonce.Policy) bool {
	return p.Guarantee == onlyonce.ExactlyOnce && p.TransactionMode == onlyonce.SingleTransaction
}

// leastRetention returns how long a client may retry by default, if each attempt takes as long as a run or a wait may take. An outcome that
// is kept for less time may be gone before the last attempt, and the call would run again. The policy is valid, so the sum does not
// overflow.
func leastRetention(p onlyonce.Policy) time.Duration {
	usual := retry.Policy{}.WithDefaults()
	retries, each := usual.MaxAttempts-1, usual.MaxDelay+max(p.MaxRun, p.MaxWait)

	return time.Duration(retries) * each
}

// unregistered reports options for services and methods that the server does not have.
func (c *serverConfig) unregistered(registered map[string]grpc.ServiceInfo) error {
	var errs []error

	for _, service := range slices.Sorted(maps.Keys(c.services)) {
		if _, ok := registered[service]; !ok {
			errs = append(errs, fmt.Errorf("interceptor: WithServicePolicy names service %s, which is not registered on this server: "+
				"register it before Validate, or remove the option", service))
		}
	}

	for _, name := range slices.Sorted(maps.Keys(c.methods)) {
		if !hasMethod(registered, name) {
			errs = append(errs, fmt.Errorf("interceptor: WithMethodPolicy names method %s, which is not registered on this server: "+
				"register its service before Validate, or remove the option", name))
		}
	}

	return errors.Join(append(errs, c.declared.unregistered(registered)...)...)
}

// hasMethod reports whether a method is registered.
func hasMethod(registered map[string]grpc.ServiceInfo, fullMethod string) bool {
	service, name := splitMethod(fullMethod)

	return slices.ContainsFunc(registered[service].Methods, func(info grpc.MethodInfo) bool { return info.Name == name })
}

// problemList collects problems in the order in which they are found, each once. A problem of a service or of a message is found with each
// of its methods.
type problemList struct {
	found []error
	seen  map[string]bool
}

func (l *problemList) add(err error) {
	for _, problem := range parts(err) {
		if text := problem.Error(); !l.seen[text] {
			l.seen[text] = true
			l.found = append(l.found, problem)
		}
	}
}

func (l *problemList) join() error { return errors.Join(l.found...) }
