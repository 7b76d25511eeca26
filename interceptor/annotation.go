package interceptor

import (
	"cmp"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// annotations are the settings of a method in its .proto and in declarations. Invalid settings are listed in the problems. They are
// ignored, or read in the way that protects more.
type annotations struct {
	policy    Policy // of the method; unset fields come from the service
	own       Policy // of the method alone
	service   Policy // of the service
	source    string // of the declaration that overrides the .proto; empty: none
	given     bool   // the method or its service has an option
	required  bool   // the method's own option requires a key
	reads     bool   // idempotency_level = NO_SIDE_EFFECTS
	streaming bool
	ownOption bool // the method itself has an option

	key   *requestField // nil: keys are only in the metadata
	uuid  bool          // keys are UUIDs
	scope []*requestField

	marked protoreflect.FullName // the first request field that is marked as the key or as part of the scope, valid or not

	optionProblems, fieldProblems []error
}

// annotationsOf reads the options of a method in its .proto. A nil descriptor has none.
func annotationsOf(descriptor protoreflect.MethodDescriptor) annotations {
	if descriptor == nil {
		return annotations{}
	}

	a := annotations{streaming: isStream(descriptor)}

	own := new(descriptorpb.MethodOptions)
	method := a.option(own, descriptor, onlyoncev1.E_Method, fullMethodName(descriptor))
	service := a.option(new(descriptorpb.ServiceOptions), descriptor.Parent(), onlyoncev1.E_Service, string(descriptor.Parent().FullName()))

	a.reads = own.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	a.required = method.Key == KeyRequired
	a.own, a.service, a.policy = method, service, method.over(service)

	if a.reads && a.required {
		a.optionProblems = append(a.optionProblems, fmt.Errorf("interceptor: option (%s) of %s requires a key and the method declares "+
			"idempotency_level = NO_SIDE_EFFECTS, which ignores keys: choose one",
			onlyoncev1.E_Method.TypeDescriptor().FullName(), fullMethodName(descriptor)))
	}

	a.readRequest(descriptor)

	return a
}

// readRequest finds the key and the scope in the request of a method, if the request type is registered.
func (a *annotations) readRequest(descriptor protoreflect.MethodDescriptor) {
	request := resolved(descriptor.Input())
	if !request.IsPlaceholder() {
		a.readFields(request)

		return
	}

	a.fieldProblems = append(a.fieldProblems, fmt.Errorf("interceptor: %s takes a %s, which has no registered descriptor, so it is "+
		"not known which of its fields is the key: link in its generated code, or register its file in protoregistry.GlobalFiles "+
		"before the method is called", fullMethodName(descriptor), request.FullName()))
}

// serviceAnnotation returns the policy in the .proto of a service. It is empty if the descriptor is unknown.
func serviceAnnotation(name string) Policy {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return Policy{}
	}

	if _, ok := found.(protoreflect.ServiceDescriptor); !ok {
		return Policy{}
	}

	var a annotations

	return a.option(new(descriptorpb.ServiceOptions), found, onlyoncev1.E_Service, name)
}

// option reads the option of a method or a service.
func (a *annotations) option(
	options proto.Message, of protoreflect.Descriptor, extension protoreflect.ExtensionType, name string,
) Policy {
	name = fmt.Sprintf("option (%s) of %s", extension.TypeDescriptor().FullName(), name)

	if err := readOptions(of, options); err != nil {
		a.given = true
		a.optionProblems = append(a.optionProblems, fmt.Errorf("interceptor: %s cannot be read: "+
			"generate the .proto again, with the onlyonce/v1/options.proto of this version: %w", name, err))

		return Policy{Key: KeyRequired}
	}

	if !proto.HasExtension(options, extension) {
		return Policy{}
	}

	a.given = true
	a.ownOption = a.ownOption || extension == onlyoncev1.E_Method
	declared, _ := proto.GetExtension(options, extension).(*onlyoncev1.Policy)
	reader := policyReader{subject: name}
	policy := reader.policy(declared)
	a.optionProblems = append(a.optionProblems, reader.problems...)

	return policy
}

// readOptions decodes the options of a descriptor again. In a descriptor that was made at run time, the kit's extensions may be unknown
// bytes, or messages of another type than the generated one.
func readOptions(of protoreflect.Descriptor, into proto.Message) error {
	data, err := proto.MarshalOptions{AllowPartial: true}.Marshal(of.Options())
	if err != nil {
		return err
	}

	return proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(data, into)
}

// hasNoSideEffects reports whether the .proto declares idempotency_level = NO_SIDE_EFFECTS.
func hasNoSideEffects(descriptor protoreflect.MethodDescriptor) bool {
	options := new(descriptorpb.MethodOptions)

	return readOptions(descriptor, options) == nil &&
		options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// problems returns all problems of the annotations as one error, or nil.
func (a *annotations) problems() error {
	return errors.Join(errors.Join(a.optionProblems...), errors.Join(a.fieldProblems...))
}

func fullMethodName(descriptor protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", descriptor.Parent().FullName(), descriptor.Name())
}

// origin names the place where clients read the policy of a method.
func (a *annotations) origin() string { return cmp.Or(a.source, "the .proto") }
