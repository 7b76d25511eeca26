package interceptor_test

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// declaration is a .proto file that is known at run time alone, in the text form of its descriptor.
type declaration struct {
	// request has the fields of message Request.
	request string
	// messages are others.
	messages string
	// service are the options of service Bank, and method those of its method Pay.
	service, method string
	// methods are others.
	methods string
	// resolver is what the options are read with; nil: what is linked in.
	resolver interface {
		protoregistry.ExtensionTypeResolver
		protoregistry.MessageTypeResolver
	}
	// uuid gives the first field of the request the format UUID4.
	uuid bool
	// later are the options of method Pay that a text cannot say.
	later *descriptorpb.MethodOptions
}

// declared counts the files, since a registry forgets nothing.
var declared atomic.Int64

// register registers the file, and returns its package and its service.
func (d declaration) register(t *testing.T) (pkg string, service protoreflect.ServiceDescriptor) {
	t.Helper()

	pkg = fmt.Sprintf("declared%d.v1", declared.Add(1))
	text := fmt.Sprintf(`
		name: "%[1]s.proto" package: "%[1]s" syntax: "proto3" dependency: "onlyonce/v1/options.proto"
		message_type { name: "Request" %[2]s } message_type { name: "Response" %[3]s } %[4]s
		service { name: "Bank" options { %[5]s }
			method { name: "Pay" input_type: ".%[1]s.Request" output_type: ".%[1]s.Response" options { %[6]s } } %[7]s
		}`, pkg, d.request, str("receipt", 1, ""), d.messages, d.service, d.method, d.methods)
	text = strings.ReplaceAll(text, "PKG", pkg)

	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(text), file); err != nil {
		t.Fatalf("the declaration of the test: %v\n%s", err, text)
	}

	if d.later != nil {
		file.GetService()[0].GetMethod()[0].Options = d.later
	}

	if d.uuid {
		declareUUID(file.GetMessageType()[0].GetField()[0])
	}

	if d.resolver != nil {
		data, err := proto.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}

		file = new(descriptorpb.FileDescriptorProto)
		if err := (proto.UnmarshalOptions{Resolver: d.resolver}).Unmarshal(data, file); err != nil {
			t.Fatal(err)
		}
	}

	made, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}

	if err := protoregistry.GlobalFiles.RegisterFile(made); err != nil {
		t.Fatal(err)
	}

	return pkg, made.Services().ByName("Bank")
}

// str declares a string field with an annotation.
func str(name string, number int, annotation string) string {
	return field(name, number, "type: TYPE_STRING label: LABEL_OPTIONAL", annotation)
}

func field(name string, number int, kind, annotation string) string {
	options := ""
	if annotation != "" {
		options = fmt.Sprintf("options { [onlyonce.v1.field] { %s } }", annotation)
	}

	return fmt.Sprintf("field { name: %q number: %d %s %s }\n", name, number, kind, options)
}

// declareUUID puts (google.api.field_info).format = UUID4 into the options of a field. Nothing that is linked in knows them.
func declareUUID(fd *descriptorpb.FieldDescriptorProto) {
	info := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	options := fd.GetOptions().ProtoReflect()
	options.SetUnknown(protowire.AppendBytes(protowire.AppendTag(options.GetUnknown(), 291403980, protowire.BytesType), info))
}

// serveDeclared adds the methods of a declared service to a server. All of them do the same.
func serveDeclared(
	server *grpc.Server, service protoreflect.ServiceDescriptor, handle func(ctx context.Context, req, resp *dynamicpb.Message) error,
) {
	desc := &grpc.ServiceDesc{ServiceName: string(service.FullName())}

	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		name := "/" + path.Join(string(service.FullName()), string(method.Name()))

		desc.Methods = append(desc.Methods, grpc.MethodDesc{
			MethodName: string(method.Name()),
			Handler: func(srv any, ctx context.Context, decode func(any) error, protect grpc.UnaryServerInterceptor) (any, error) {
				req := dynamicpb.NewMessage(method.Input())
				if err := decode(req); err != nil {
					return nil, err
				}

				handler := func(ctx context.Context, _ any) (any, error) {
					resp := dynamicpb.NewMessage(method.Output())

					return resp, handle(ctx, req, resp)
				}

				return protect(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: name}, handler)
			},
		})
	}

	server.RegisterService(desc, nil)
}

func get(m *dynamicpb.Message, name protoreflect.Name) string {
	return m.Get(m.Descriptor().Fields().ByName(name)).String()
}

func set(m *dynamicpb.Message, name protoreflect.Name, value string) {
	m.Set(m.Descriptor().Fields().ByName(name), protoreflect.ValueOfString(value))
}

// counting makes a handler that answers with the number of its run.
func counting(runs *atomic.Int64) func(context.Context, *dynamicpb.Message, *dynamicpb.Message) error {
	return func(_ context.Context, _, resp *dynamicpb.Message) error {
		set(resp, "receipt", fmt.Sprintf("run %d", runs.Add(1)))

		return nil
	}
}

// registeredServices are what a server has.
type registeredServices map[string]grpc.ServiceInfo

func (r registeredServices) GetServiceInfo() map[string]grpc.ServiceInfo { return r }

func servicesOf(services ...protoreflect.ServiceDescriptor) registeredServices {
	registered := registeredServices{}

	for _, service := range services {
		info := grpc.ServiceInfo{}

		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			info.Methods = append(info.Methods, grpc.MethodInfo{
				Name: string(method.Name()), IsClientStream: method.IsStreamingClient(), IsServerStream: method.IsStreamingServer(),
			})
		}

		registered[string(service.FullName())] = info
	}

	return registered
}
