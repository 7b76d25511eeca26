package interceptor

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
)

// method is what a server knows about one of its methods, found once.
type method struct {
	name     string
	policy   onlyonce.Policy // whole: no field is unset
	key      KeyUse
	keyRules onlyonce.KeyRules
	classes  map[codes.Code]onlyonce.Class
	recover  RecoverFunc // nil: nobody is asked
	// output makes responses. It is nil where the method is not a registered protobuf method.
	output protoreflect.MessageType
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

	next := make(map[string]T)
	if known := c.known.Load(); known != nil {
		next = maps.Clone(*known)
	}

	found := c.find(fullMethod)

	if len(next) < mostMethods {
		next[fullMethod] = found
		c.known.Store(&next)
	}

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

// method merges the policies of a method and looks at its descriptor.
func (c *serverConfig) method(fullMethod string) *method {
	service, name := splitMethod(fullMethod)
	policy := c.methods[fullMethod].over(c.services[service].over(c.policy))

	// Probes send no keys, whatever the server requires.
	if _, chosen := c.services[service]; service == "grpc.health.v1.Health" && !chosen && c.methods[fullMethod].Key == KeyInherit {
		policy.Key = KeyIgnored
	}

	m := &method{name: fullMethod, policy: c.engine.Policy(policy.Policy), key: policy.Key, classes: policy.Classes, recover: policy.Recover}
	if policy.KeyRules != nil {
		m.keyRules = *policy.KeyRules
	}

	descriptor := findMethod(service, name)
	if descriptor == nil {
		return m
	}

	m.output = messageType(descriptor.Output())

	if hasNoSideEffects(descriptor) {
		m.key = KeyIgnored
	}

	return m
}

// hasNoSideEffects reports what the .proto declares with idempotency_level.
func hasNoSideEffects(descriptor protoreflect.MethodDescriptor) bool {
	options, ok := descriptor.Options().(*descriptorpb.MethodOptions)

	return ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
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
