package interceptor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
)

// method is what a server knows about a method. It is found once.
type method struct {
	name     string
	policy   onlyonce.Policy          // no field is unset
	prepared *onlyonce.PreparedPolicy // of policy
	key      KeyUse
	keyForm  keyForm
	keyField *requestField   // nil: keys are only in the metadata
	scope    []*requestField // in the order of their numbers
	classes  map[codes.Code]onlyonce.Class
	kept     kept
	recover  RecoverFunc // nil: none
	// input and output make requests and responses. They are nil if the messages of the method cannot be recorded.
	input, output protoreflect.MessageType
	// unrecordable is the reason why the messages of the method cannot be recorded, or nil.
	unrecordable error
	// broken has the invalid settings in the .proto, or in the .proto together with the options of the server. The method is then refused.
	broken error
}

func (m *method) classOf(code codes.Code) onlyonce.Class {
	if class, ok := m.classes[code]; ok {
		return class
	}

	return defaultClass(code)
}

// response returns a recorded response, in the Go type that the codec and other interceptors use.
func (m *method) response(data []byte) (any, error) {
	msg := m.output.New().Interface()

	if err := withoutPanic(func() error { return proto.Unmarshal(data, msg) }); err != nil {
		return nil, err
	}

	return asGo(msg), nil
}

// mostMethods bounds the cache. A proxy may call any method that its clients name.
const mostMethods = 4096

// perMethod caches a value for each method, by its full name.
type perMethod[T any] struct {
	find  func(fullMethod string) T
	more  func(found T) T // replaces a value that is not cached, because the cache is full; nil: the value itself
	known atomic.Pointer[map[string]T]
	mu    sync.Mutex // held while a value is added
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
			return c.instead(found)
		}

		next = maps.Clone(*known)
	}

	next[fullMethod] = found
	c.known.Store(&next)

	return found
}

func (c *perMethod[T]) instead(found T) T {
	if c.more == nil {
		return found
	}

	return c.more(found)
}

func (c *perMethod[T]) cached(fullMethod string) (T, bool) {
	if known := c.known.Load(); known != nil {
		found, ok := (*known)[fullMethod]

		return found, ok
	}

	var none T

	return none, false
}

// method merges the options of the server with the annotations of a method.
func (c *serverConfig) method(fullMethod string) *method {
	service, name := splitMethod(fullMethod)
	descriptor := findMethod(service, name)
	declared := c.declared.annotationsOf(fullMethod)
	chosen := c.chosen(fullMethod)
	policy := chosen.over(declared.policy)

	m := &method{
		name: fullMethod, policy: c.engine.Policy(policy.Policy), key: policy.Key, classes: policy.Classes, recover: policy.Recover,
		keyForm: keyForm{uuid: declared.uuid}, keyField: declared.key, scope: declared.scope, kept: kept{statuses: c.statuses},
	}

	if m.key == KeyInherit {
		m.key = KeyOptional
	}

	if policy.KeyRules != nil {
		m.keyForm.rules = *policy.KeyRules
	}

	m.input, m.output, m.unrecordable = recordableTypes(fullMethod, descriptor)

	// NewServer could not check this if the service was registered later.
	if err := checkKeyUse(fullMethod, cmp.Or(c.methods[fullMethod].Key, c.declared.by[fullMethod].policy.Key)); err != nil {
		declared.required, declared.optionProblems = true, append(declared.optionProblems, err)
	}

	m.judge(&declared, chosen.Key, func() error {
		return errors.Join(policy.validate(c.engine, "policy of method "+fullMethod), m.keyForm.validate(fullMethod))
	})

	if m.broken == nil {
		m.kept = keptOf(&m.policy, policy.Retentions, c.statuses)
	}

	if m.broken == nil && m.key != KeyIgnored {
		m.prepared, m.broken = c.engine.Prepare(m.policy)
	}

	return m
}

// chosen returns the policy of a method in the options of the server.
func (c *serverConfig) chosen(fullMethod string) Policy {
	service, _ := splitMethod(fullMethod)
	own := c.methods[fullMethod].over(c.services[service])
	policy := own.over(c.policy)

	// Health checks send no keys, whatever the policy of the server requires.
	if partOfGRPC(fullMethod) && own.Key == KeyInherit {
		policy.Key = cmp.Or(c.declared.own(fullMethod).Key, KeyIgnored)
	}

	return policy
}

const healthService = "grpc.health.v1.Health"

// judge decides how a method with invalid annotations is treated. Its calls are refused, and not run with less protection than its author
// has demanded. If the options of the server ignore its keys, the calls run.
func (m *method) judge(declared *annotations, chosen KeyUse, validate func() error) {
	switch {
	case chosen == KeyIgnored:
		// The annotations are not used.
	case declared.reads && declared.required:
		m.key, m.broken = KeyRequired, declared.problems()
	case declared.reads || m.key == KeyIgnored:
		m.key, m.broken = KeyIgnored, errors.Join(declared.optionProblems...)
	default:
		m.broken = errors.Join(declared.problems(), validate())

		if len(declared.fieldProblems) > 0 {
			m.key = KeyRequired // the key of a call may be in an unknown place
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

// checkUnary reports an option that names a stream.
func checkUnary(option, fullMethod string) error {
	if !isStream(findMethod(splitMethod(fullMethod))) {
		return nil
	}

	return fmt.Errorf("interceptor: %s names %s, which is a stream, and streams are never protected: remove it from the option",
		option, fullMethod)
}

// isStream reports whether a method is a stream. A method without a descriptor is not.
func isStream(descriptor protoreflect.MethodDescriptor) bool {
	return descriptor != nil && (descriptor.IsStreamingClient() || descriptor.IsStreamingServer())
}

// checkKeyUse reports a policy that requires a key for a method whose keys are ignored.
func checkKeyUse(fullMethod string, use KeyUse) error {
	descriptor := findMethod(splitMethod(fullMethod))
	if use != KeyRequired || descriptor == nil || !hasNoSideEffects(descriptor) {
		return nil
	}

	return fmt.Errorf("interceptor: %s requires a key and declares idempotency_level = NO_SIDE_EFFECTS, which ignores keys: "+
		"choose one", fullMethod)
}

// recordableTypes returns the types of the requests and responses of a method, or an error if they cannot be recorded.
func recordableTypes(fullMethod string, descriptor protoreflect.MethodDescriptor) (input, output protoreflect.MessageType, err error) {
	const remedy = "link in its generated code, or register its descriptor in protoregistry.GlobalFiles first, or set KeyIgnored in " +
		"WithMethodPolicy"

	if descriptor == nil {
		return nil, nil, fmt.Errorf("interceptor: %s has no registered descriptor, and only protobuf messages of a registered service can be "+
			"recorded, so keyed calls are refused: %s", fullMethod, remedy)
	}

	input, output = messageType(resolved(descriptor.Input())), messageType(resolved(descriptor.Output()))

	for _, message := range []protoreflect.MessageType{input, output} {
		if err := typeProblem(message); err != nil {
			return nil, nil, fmt.Errorf("interceptor: %s has message %s, which cannot be recorded, so keyed calls are refused: generate its "+
				"code with protoc-gen-go 1.20 or newer, or set KeyIgnored in WithMethodPolicy: %w", fullMethod, message.Descriptor().FullName(), err)
		}
	}

	return input, output, nil
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

// messageType returns the generated type of a message, or a dynamic type if no generated type is linked in.
func messageType(descriptor protoreflect.MessageDescriptor) protoreflect.MessageType {
	if generated, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName()); err == nil {
		return generated
	}

	return dynamicpb.NewMessageType(descriptor)
}
