package interceptor

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
)

// method is what a server knows about one of its methods, found once.
type method struct {
	name     string
	policy   onlyonce.Policy // whole: no field is unset
	key      KeyUse
	keyForm  keyForm
	keyField *requestField   // nil: keys come by metadata alone
	scope    []*requestField // in the order of their numbers
	classes  map[codes.Code]onlyonce.Class
	recover  RecoverFunc // nil: nobody is asked
	// output makes responses. It is nil where the method is not a registered protobuf method.
	output protoreflect.MessageType
	// broken is everything that cannot hold in what the .proto says, or in what it makes together with the options of the
	// server. The method is then refused.
	broken error
}

func (m *method) classOf(code codes.Code) onlyonce.Class {
	if class, ok := m.classes[code]; ok {
		return class
	}

	return defaultClass(code)
}

// mostMethods bounds the cache, for proxies that call whatever they are told.
const mostMethods = 4096

// perMethod keeps what was found out about methods, by their full names.
type perMethod[T any] struct {
	find  func(fullMethod string) T
	known atomic.Pointer[map[string]T]
	mu    sync.Mutex // for those who add
}

func (c *perMethod[T]) get(fullMethod string) T {
	if found, ok := c.cached(fullMethod); ok {
		return found
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	if found, ok := c.cached(fullMethod); ok {
		return found
	}

	found := c.find(fullMethod)
	next := make(map[string]T)

	if known := c.known.Load(); known != nil {
		if len(*known) >= mostMethods {
			return found
		}

		next = maps.Clone(*known)
	}

	next[fullMethod] = found
	c.known.Store(&next)

	return found
}

func (c *perMethod[T]) cached(fullMethod string) (T, bool) {
	if known := c.known.Load(); known != nil {
		found, ok := (*known)[fullMethod]

		return found, ok
	}

	var none T

	return none, false
}

// method merges what the server's options and the .proto say of a method.
func (c *serverConfig) method(fullMethod string) *method {
	service, name := splitMethod(fullMethod)
	descriptor := findMethod(service, name)
	declared := annotationsOf(descriptor)
	chosen := c.chosen(fullMethod)
	policy := chosen.over(declared.policy)

	m := &method{
		name: fullMethod, policy: c.engine.Policy(policy.Policy), key: policy.Key, classes: policy.Classes, recover: policy.Recover,
		keyForm: keyForm{uuid: declared.uuid}, keyField: declared.key, scope: declared.scope,
	}

	if m.key == KeyInherit {
		m.key = KeyOptional
	}

	if policy.KeyRules != nil {
		m.keyForm.rules = *policy.KeyRules
	}

	if descriptor != nil {
		m.output = messageType(resolved(descriptor.Output()))
	}

	// Of a service that is registered late, only now.
	if err := checkKeyUse(fullMethod, c.methods[fullMethod].Key); err != nil {
		declared.required, declared.optionProblems = true, append(declared.optionProblems, err)
	}

	m.judge(&declared, chosen.Key, func() error {
		return errors.Join(policy.validate(c.engine, "policy of method "+fullMethod), m.keyForm.validate(fullMethod))
	})

	return m
}

// chosen is what the options of the server say of a method.
func (c *serverConfig) chosen(fullMethod string) Policy {
	service, _ := splitMethod(fullMethod)
	policy := c.methods[fullMethod].over(c.services[service].over(c.policy))

	// Probes send no keys, whatever the server requires.
	if _, chosen := c.services[service]; service == healthService && !chosen && c.methods[fullMethod].Key == KeyInherit {
		policy.Key = KeyIgnored
	}

	return policy
}

const healthService = "grpc.health.v1.Health"

// judge decides what becomes of a method whose annotations cannot hold. It is refused, rather than called with less
// protection than its author has asked for, unless the options of the server say that its keys are to be ignored.
func (m *method) judge(declared *annotations, chosen KeyUse, validate func() error) {
	switch {
	case chosen == KeyIgnored:
		// Nobody asks for the annotations.
	case declared.reads && declared.required:
		m.key, m.broken = KeyRequired, declared.problems()
	case declared.reads || m.key == KeyIgnored:
		m.key, m.broken = KeyIgnored, errors.Join(declared.optionProblems...)
	default:
		m.broken = errors.Join(declared.problems(), validate())

		if len(declared.fieldProblems) > 0 {
			m.key = KeyRequired // a call may have a key where nobody looks for it
		}
	}
}

func splitMethod(fullMethod string) (service, name string) {
	service, name, _ = strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")

	return service, name
}

// checkMethodName reports a name that no method can have.
func checkMethodName(fullMethod string) error {
	service, name := splitMethod(fullMethod)
	if !strings.HasPrefix(fullMethod, "/") || service == "" || name == "" {
		return fmt.Errorf("interceptor: %q is not the full name of a method: write it as in %q", fullMethod, "/package.Service/Method")
	}

	// A service that is not linked in may still be registered, from a descriptor that is found at run time.
	if _, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service)); err == nil &&
		findMethod(service, name) == nil {
		return fmt.Errorf("interceptor: there is no method %q: service %s has no %s", fullMethod, service, name)
	}

	return nil
}

// checkKeyUse reports a policy that would be ignored.
func checkKeyUse(fullMethod string, use KeyUse) error {
	descriptor := findMethod(splitMethod(fullMethod))
	if use != KeyRequired || descriptor == nil || !hasNoSideEffects(descriptor) {
		return nil
	}

	return fmt.Errorf("interceptor: %s requires a key and declares idempotency_level = NO_SIDE_EFFECTS, so that keys are ignored: "+
		"choose one", fullMethod)
}

func findMethod(service, name string) protoreflect.MethodDescriptor {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil
	}

	descriptor, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}

	return descriptor.Methods().ByName(protoreflect.Name(name))
}

// messageType is the generated type of a message, or a dynamic one where none is linked in.
func messageType(descriptor protoreflect.MessageDescriptor) protoreflect.MessageType {
	if generated, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName()); err == nil {
		return generated
	}

	return dynamicpb.NewMessageType(descriptor)
}
