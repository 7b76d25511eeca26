package interceptor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"

	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// Declaration is the policy of a service or a method, declared outside of its .proto. Use it if a .proto cannot import
// onlyonce/v1/options.proto. A Declaration has the same meaning and the same checks as the option of the .proto, and overrides that option
// field by field. Give servers and clients the same declarations. Package github.com/onlyonce-go/onlyonce/policyfile reads declarations
// from a file.
type Declaration struct {
	// Of is the full name of a method, as in "/payments.v1.PaymentService/Pay", or of a service, as in "payments.v1.PaymentService". The
	// policy of a service holds for all of its methods. The policy of a method overrides it, field by field.
	Of string
	// Policy is the policy. A policy without fields protects with the engine's policy. Nil is an error.
	Policy *onlyoncev1.Policy
	// Source names the place of the declaration in errors, as in "policies.yaml:12". The default is "a Declaration".
	Source string
}

// WithDeclarations adds policies that are declared outside of the .proto of their methods. Options with a [Policy], such as
// WithMethodPolicy, override them. Further options add declarations. NewServer fails if a declaration is invalid, or if a method or service
// has two declarations. Server.Validate also reports declarations of methods and services that are not registered.
func WithDeclarations(declarations ...Declaration) ServerOption {
	return func(c *serverConfig) { c.declared.add(declarations) }
}

// WithClientDeclarations declares which methods the servers protect, with their policies. A method is protected if it or its service has a
// declaration other than KEY_USE_IGNORED. The client follows retention, key_life and key_form. Further options add declarations.
// DialOptions and the other constructors fail if a declaration is invalid, or if a method or service has two declarations.
//
// Deploy the servers first, then the clients. The client retries these methods only after the server has confirmed them: see
// UnaryClientInterceptor.
func WithClientDeclarations(declarations ...Declaration) ClientOption {
	return func(c *clientConfig) { c.declared.add(declarations) }
}

// declarations are policies by the names of methods and services.
type declarations struct {
	by       map[string]declaration
	problems []error
}

type declaration struct {
	policy Policy
	source string
}

func (d *declarations) add(all []Declaration) {
	if d.by == nil {
		d.by = make(map[string]declaration, len(all))
	}

	for _, one := range all {
		source := one.Source
		if source == "" {
			source = "a Declaration"
		}

		if first, twice := d.by[one.Of]; twice {
			d.problems = append(d.problems, fmt.Errorf("interceptor: policy of %s in %s: %s declares another policy for it: keep one of them",
				one.Of, source, first.source))

			continue
		}

		reader := policyReader{subject: fmt.Sprintf("policy of %s in %s", one.Of, source)}
		if one.Policy == nil {
			one.Policy = new(onlyoncev1.Policy)

			reader.complainf("Policy is nil: give an empty Policy to use the policy of the engine")
		}

		d.by[one.Of] = declaration{policy: reader.policy(one.Policy), source: source}
		d.problems = append(d.problems, reader.problems...)
	}
}

// validateDeclared reports declarations that are invalid on this server.
func (c *serverConfig) validateDeclared() error {
	errs := make([]error, 0, len(c.declared.by)+1)
	errs = append(errs, c.declared.validate())

	for _, name := range slices.Sorted(maps.Keys(c.declared.by)) {
		p := c.services[name].over(c.policy).over(c.declared.ofService(name))
		if strings.HasPrefix(name, "/") {
			p = c.chosen(name).over(c.declared.annotationsOf(name).policy)
		}

		errs = append(errs, p.validate(c.engine, fmt.Sprintf("policy of %s in %s", name, c.declared.by[name].source)))
	}

	return errors.Join(errs...)
}

// unregistered reports declarations of methods and services that a server does not have.
func (d *declarations) unregistered(registered map[string]grpc.ServiceInfo) []error {
	var errs []error

	for _, name := range slices.Sorted(maps.Keys(d.by)) {
		_, found := registered[name]
		if !found && !hasMethod(registered, name) {
			errs = append(errs, fmt.Errorf("interceptor: %s has a policy of %s, which is not registered on this server: "+
				"register its service before Validate, or remove the policy", d.by[name].source, name))
		}
	}

	return errs
}

// validate reports declarations that are invalid on every server and client.
func (d *declarations) validate() error {
	errs := slices.Clone(d.problems)

	for _, name := range slices.Sorted(maps.Keys(d.by)) {
		source := d.by[name].source

		problem := checkDeclared(name, d.by[name].policy.Key)
		if problem != nil {
			errs = append(errs, fmt.Errorf("%s: %w", source, problem))
		}
	}

	return errors.Join(errs...)
}

func checkDeclared(name string, key KeyUse) error {
	switch {
	case name == "":
		return errors.New(`interceptor: a declaration has no name: write a method as in "/package.Service/Method", or a service as in ` +
			`"package.Service"`)
	case !strings.Contains(name, "/"):
		return nil
	case key != KeyIgnored && isStream(findMethod(splitMethod(name))):
		return fmt.Errorf("interceptor: %s is a stream, which is never protected: remove its policy, or set KEY_USE_IGNORED", name)
	default:
		return errors.Join(checkMethodName(name), checkKeyUse(name, key))
	}
}

// annotationsOf merges the declarations and the .proto of a method.
func (d *declarations) annotationsOf(fullMethod string) annotations {
	service, name := splitMethod(fullMethod)
	a := annotationsOf(findMethod(service, name))

	ofMethod, own := d.by[fullMethod]
	ofService, shared := d.by[service]

	if !own && !shared {
		return a
	}

	a.given, a.ownOption = true, a.ownOption || own
	a.own, a.service = ofMethod.policy.over(a.own), ofService.policy.over(a.service)
	a.policy = a.own.over(a.service)
	a.required = a.own.Key == KeyRequired

	if a.source = ofMethod.source; !own {
		a.source = ofService.source
	}

	return a
}

// own returns the policy of a method in the declarations of the method and of its service.
func (d *declarations) own(fullMethod string) Policy {
	service, _ := splitMethod(fullMethod)

	return d.by[fullMethod].policy.over(d.by[service].policy)
}

// ofService returns the policy of a service in its declaration and its .proto.
func (d *declarations) ofService(name string) Policy {
	return d.by[name].policy.over(serviceAnnotation(name))
}
