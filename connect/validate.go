package onceconnect

import (
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Validate checks every method of the named services against its .proto, the options and the engine, and reports every problem at once:
// see [interceptor.Server.Validate]. Call it at start-up with the names of all services behind the interceptor, because connect-go keeps no
// list of services. Generated code has a constant for each name:
//
//	err := server.Validate(paymentsv1connect.PaymentServiceName, refundsv1connect.RefundServiceName)
//
// The generated code of each service must be linked in. A call without names, and a name without linked-in code, are problems.
func (s *Server) Validate(services ...string) error {
	registered := make(serviceInfo, len(services))

	var errs []error

	if len(services) == 0 {
		errs = append(errs, errors.New("onceconnect: Validate got no service: name the services that the server serves"))
	}

	for _, name := range services {
		methods, err := methodsOf(name)
		registered[name] = grpc.ServiceInfo{Methods: methods}
		errs = append(errs, err)
	}

	return errors.Join(append(errs, s.protect.Validate(registered))...)
}

// serviceInfo is an interceptor.ServiceInfoProvider.
type serviceInfo map[string]grpc.ServiceInfo

// GetServiceInfo implements interceptor.ServiceInfoProvider.
func (i serviceInfo) GetServiceInfo() map[string]grpc.ServiceInfo { return i }

// methodsOf returns the methods of a service that is linked in.
func methodsOf(service string) ([]grpc.MethodInfo, error) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	descriptor, ok := found.(protoreflect.ServiceDescriptor)

	if err != nil || !ok {
		return nil, fmt.Errorf("onceconnect: there is no service %q: write the full name as in %q, and link its generated code in",
			service, "payments.v1.PaymentService")
	}

	methods := make([]grpc.MethodInfo, 0, descriptor.Methods().Len())

	for i := range descriptor.Methods().Len() {
		method := descriptor.Methods().Get(i)
		methods = append(methods, grpc.MethodInfo{
			Name: string(method.Name()), IsClientStream: method.IsStreamingClient(), IsServerStream: method.IsStreamingServer(),
		})
	}

	return methods, nil
}
