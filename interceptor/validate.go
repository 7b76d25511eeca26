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

// ServiceInfoProvider is a server that tells which services it has, such as a *grpc.Server.
type ServiceInfoProvider interface {
	GetServiceInfo() map[string]grpc.ServiceInfo
}

// Validate checks every registered method of a server against what the .proto, the options and the engine say about it, and
// reports every problem at once, each with the method or the field and what to do. Call it at start-up, when all services are
// registered, with the engine and the options that UnaryServerInterceptor was given:
//
//	opts := []interceptor.ServerOption{interceptor.WithPolicy(policy)}
//	protect, err := interceptor.UnaryServerInterceptor(engine, scope, opts...)
//	…
//	server := grpc.NewServer(grpc.ChainUnaryInterceptor(protect))
//	paymentsv1.RegisterPaymentServiceServer(server, payments)
//	…
//	if err := interceptor.Validate(server, engine, opts...); err != nil {
//
// Without it, what cannot hold is found when a method is called first, and that method is refused.
//
// It also reports what a single call cannot show: options for what is not registered, streams that are to have a key, outcomes
// that are kept for less time than clients go on retrying, or for longer than those of the methods that WithDownstream names, and
// what WithPolicy or WithServicePolicy take away from what the .proto says more narrowly. An operator who means that says it with
// WithMethodPolicy, which may overrule the .proto in all but the retention, since clients rely on that one.
func Validate(server ServiceInfoProvider, engine *onlyonce.Engine, opts ...ServerOption) error {
	if server == nil {
		return errors.New("interceptor: Validate needs a server, such as a *grpc.Server")
	}

	c := newServerConfig(engine, opts)
	problems := problemList{seen: make(map[string]bool)}
	problems.add(c.validateOptions())

	if engine == nil {
		return problems.join()
	}

	registered := server.GetServiceInfo()

	for _, service := range slices.Sorted(maps.Keys(registered)) {
		methods := slices.SortedFunc(slices.Values(registered[service].Methods), func(a, b grpc.MethodInfo) int {
			return strings.Compare(a.Name, b.Name)
		})

		for _, info := range methods {
			problems.add(c.judgeMethod(service, info))
		}
	}

	problems.add(c.unregistered(registered))

	return problems.join()
}

// judgeMethod reports what cannot hold for a registered method.
func (c *serverConfig) judgeMethod(service string, info grpc.MethodInfo) error {
	name := "/" + service + "/" + info.Name
	said := annotationsOf(findMethod(service, info.Name))

	if info.IsClientStream || info.IsServerStream {
		return c.judgeStream(name, &said)
	}

	m := c.method(name)
	errs := []error{m.broken}

	if m.key == KeyIgnored && (said.reads || said.policy.Key == KeyIgnored) {
		return m.broken
	}

	errs = append(errs, c.weakened(name, &said))

	if m.key == KeyIgnored {
		return errors.Join(errs...)
	}

	if m.output == nil && m.key == KeyRequired {
		errs = append(errs, fmt.Errorf("interceptor: %s requires a key and no descriptor of it is registered, so that every call is refused: "+
			"link in its generated code, or register its descriptor in protoregistry.GlobalFiles before", name))
	}

	if m.broken == nil && m.key == KeyOptional && hasSingleTransaction(&m.policy) {
		errs = append(errs, fmt.Errorf("interceptor: %s gives its handler the transaction of the key, and a call without a key has none: "+
			"require a key, or let the handler join a transaction of its own", name))
	}

	if promised := said.policy.Retention; promised > 0 && m.policy.Retention < promised {
		errs = append(errs, fmt.Errorf("interceptor: %s keeps outcomes for %v by an option of the server, and its .proto tells clients %v, "+
			"for which they rely on it: raise Retention, or lower retention in the .proto", name, m.policy.Retention, promised))
	}

	if least := leastRetention(m.policy); m.policy.Retention < least {
		errs = append(errs, fmt.Errorf("interceptor: %s keeps outcomes for %v, and a client that retries as it does by default may take %v: "+
			"raise the retention to that at least, or lower MaxRun and MaxWait", name, m.policy.Retention, least))
	}

	return errors.Join(append(errs, c.outlives(name, &m.policy))...)
}

func hasSingleTransaction(p *onlyonce.Policy) bool {
	return p.Guarantee == onlyonce.ExactlyOnce && p.TransactionMode == onlyonce.SingleTransaction
}

// leastRetention is how long a client may take by default for its attempts after the first one, if each of them takes as long as
// a run or a wait may take. An outcome that is not kept for that long may be gone when it is asked for, and the call would run
// again.
func leastRetention(p onlyonce.Policy) time.Duration {
	// Several of them are longer than any retention, and do not wrap around to where none is too short.
	const decades = 50 * 365 * 24 * time.Hour

	usual := retry.Policy{}.WithDefaults()
	retries, each := usual.MaxAttempts-1, usual.MaxDelay+min(max(p.MaxRun, p.MaxWait), decades)

	return time.Duration(retries) * each
}

// judgeStream reports that a stream is to have a key, which nobody would look at.
func (c *serverConfig) judgeStream(name string, said *annotations) error {
	chosen := c.chosen(name).Key
	if chosen == KeyIgnored || said.reads && !said.required {
		return nil
	}

	key := c.chosen(name).over(said.policy).Key
	_, picked := c.methods[name]

	errs := said.optionProblems

	switch {
	case chosen == KeyInherit && said.policy.Key == KeyIgnored:
	case key == KeyRequired && !partOfGRPC(name):
		errs = append(errs, errStream(name, "requires a key"))
	case picked || said.ownOption:
		errs = append(errs, errStream(name, "has a policy of its own"))
	case said.marked != "":
		errs = append(errs, errStream(name, fmt.Sprintf("has a request with field %s, which is marked as the key or as part of the scope,",
			said.marked)))
	}

	return errors.Join(errs...)
}

func errStream(name, what string) error {
	return fmt.Errorf("interceptor: %s %s and is a stream, which is never protected: say KEY_USE_IGNORED in its .proto, or KeyIgnored "+
		"in WithMethodPolicy", name, what)
}

// partOfGRPC reports whether a method belongs to what gRPC itself brings along, which a policy of the whole server does not
// mean.
func partOfGRPC(fullMethod string) bool {
	for _, prefix := range []string{"/grpc.health.", "/grpc.reflection.", "/grpc.channelz."} {
		if strings.HasPrefix(fullMethod, prefix) {
			return true
		}
	}

	return false
}

// unregistered reports options for what the server does not have.
func (c *serverConfig) unregistered(registered map[string]grpc.ServiceInfo) error {
	var errs []error

	for _, service := range slices.Sorted(maps.Keys(c.services)) {
		if _, ok := registered[service]; !ok {
			errs = append(errs, fmt.Errorf("interceptor: WithServicePolicy names service %s, which is not registered on this server: "+
				"register it before Validate, or take the option away", service))
		}
	}

	for _, name := range slices.Sorted(maps.Keys(c.methods)) {
		service, method := splitMethod(name)

		if !slices.ContainsFunc(registered[service].Methods, func(info grpc.MethodInfo) bool { return info.Name == method }) {
			errs = append(errs, fmt.Errorf("interceptor: WithMethodPolicy names method %s, which is not registered on this server: "+
				"register its service before Validate, or take the option away", name))
		}
	}

	return errors.Join(errs...)
}

// problemList keeps problems in the order in which they are found, each once: that of a service or of a message is found with
// each of its methods.
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
