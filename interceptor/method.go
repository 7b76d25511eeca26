package interceptor

import (
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
	// output makes responses. It is nil where the method is not a registered protobuf method.
	output protoreflect.MessageType
}

func (m *method) classOf(code codes.Code) onlyonce.Class {
	if class, ok := m.classes[code]; ok {
		return class
	}

	return defaultClass(code)
}

// methods finds methods by their full names. Only methods that the server has registered are asked for, so the cache is
// bounded.
type methods struct {
	config *serverConfig
	known  atomic.Pointer[map[string]*method]
	mu     sync.Mutex // for those who add
}

func (ms *methods) find(fullMethod string) *method {
	if known := ms.known.Load(); known != nil {
		if m, ok := (*known)[fullMethod]; ok {
			return m
		}
	}

	ms.mu.Lock()
	defer ms.mu.Unlock()

	var next map[string]*method

	if known := ms.known.Load(); known != nil {
		if m, ok := (*known)[fullMethod]; ok {
			return m
		}

		next = maps.Clone(*known)
	} else {
		next = make(map[string]*method)
	}

	m := ms.config.method(fullMethod)
	next[fullMethod] = m
	ms.known.Store(&next)

	return m
}

// method merges the policies of a method and looks at its descriptor.
func (c *serverConfig) method(fullMethod string) *method {
	service, name := splitMethod(fullMethod)
	policy := c.methods[fullMethod].over(c.services[service].over(c.policy))

	m := &method{name: fullMethod, policy: c.engine.Policy(policy.Policy), key: policy.Key, classes: policy.Classes}
	if policy.KeyRules != nil {
		m.keyRules = *policy.KeyRules
	}

	descriptor := findMethod(service, name)
	if descriptor == nil {
		return m
	}

	m.output = messageType(descriptor.Output())

	if options, ok := descriptor.Options().(*descriptorpb.MethodOptions); ok &&
		options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
		m.key = KeyIgnored
	}

	return m
}

func splitMethod(fullMethod string) (service, name string) {
	service, name, _ = strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")

	return service, name
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
