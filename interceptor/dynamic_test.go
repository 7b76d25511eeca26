package interceptor_test

import (
	"context"
	"path"
	"sync"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The methods of a service that has no generated code.
const (
	lookupGet     = "/onlyonce.test.Lookups/Get"     // declared to have no side effects
	lookupPut     = "/onlyonce.test.Lookups/Put"     // declared to be idempotent
	lookupDynamic = "/onlyonce.test.Lookups/Dynamic" // answers with a message that is not linked in
	hiddenCall    = "/onlyonce.test.Hidden/Call"     // of a service without a descriptor
)

// lookups registers the service's descriptor.
var lookups = sync.OnceValue(func() protoreflect.FileDescriptor {
	method := func(name, output string, level descriptorpb.MethodOptions_IdempotencyLevel) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: new(name), InputType: new(".grpc.testing.SimpleRequest"), OutputType: new(output),
			Options: &descriptorpb.MethodOptions{IdempotencyLevel: level.Enum()},
		}
	}

	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("onlyonce/test/lookups.proto"), Package: new("onlyonce.test"), Syntax: new("proto3"),
		Dependency: []string{"grpc/testing/messages.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: new("Answer"),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name: new("username"), Number: new(int32(2)),
				Type:  descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}},
		}},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: new("Lookups"),
			Method: []*descriptorpb.MethodDescriptorProto{
				method("Get", ".grpc.testing.SimpleResponse", descriptorpb.MethodOptions_NO_SIDE_EFFECTS),
				method("Put", ".grpc.testing.SimpleResponse", descriptorpb.MethodOptions_IDEMPOTENT),
				method("Dynamic", ".onlyonce.test.Answer", descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN),
			},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}

	if err := protoregistry.GlobalFiles.RegisterFile(file); err != nil {
		panic(err)
	}

	return file
})

// registerLookups adds the service to a server. Its methods answer with their own names.
func registerLookups(server *grpc.Server) {
	answer := lookups().Messages().ByName("Answer")
	desc := &grpc.ServiceDesc{ServiceName: "onlyonce.test.Lookups"}

	for _, name := range []string{lookupGet, lookupPut, lookupDynamic} {
		desc.Methods = append(desc.Methods, handwritten(name, func() proto.Message {
			if name == lookupDynamic {
				msg := dynamicpb.NewMessage(answer)
				msg.Set(answer.Fields().ByName("username"), protoreflect.ValueOfString(name))

				return msg
			}

			return &pb.SimpleResponse{Username: name}
		}))
	}

	server.RegisterService(desc, nil)
}

// registerHidden adds a service without a descriptor.
func registerHidden(server *grpc.Server, runs *int) {
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "onlyonce.test.Hidden",
		Methods: []grpc.MethodDesc{handwritten(hiddenCall, func() proto.Message {
			*runs++

			return &pb.SimpleResponse{}
		})},
	}, nil)
}

func handwritten(fullMethod string, answer func() proto.Message) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: path.Base(fullMethod),
		Handler: func(srv any, ctx context.Context, decode func(any) error, protect grpc.UnaryServerInterceptor) (any, error) {
			req := new(pb.SimpleRequest)
			if err := decode(req); err != nil {
				return nil, err
			}

			return protect(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: fullMethod},
				func(context.Context, any) (any, error) { return answer(), nil })
		},
	}
}

// incoming is the context of a call as a handler sees it.
func incoming(ctx context.Context, pairs ...string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs(pairs...))
}
