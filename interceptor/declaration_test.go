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

	"github.com/onlyonce-go/onlyonce/store"
)

// declaration is a .proto file that exists only at run time, in the text form of its descriptor.
type declaration struct {
	// pkg is the package, where it has to be known before: see newPackage.
	pkg string
	// request has the fields of message Request.
	request string
	// messages are others.
	messages string
	// before and after are other files of the package, without name and package: before is imported by this file, and
	// after imports both.
	before, after string
	// input is the request type of Pay, if it is not Request. It need not exist.
	input string
	// service has the options of service Bank, and method those of its method Pay.
	service, method string
	// methods are others.
	methods string
	// resolver resolves the options; nil: the linked-in types.
	resolver interface {
		protoregistry.ExtensionTypeResolver
		protoregistry.MessageTypeResolver
	}
	// uuid gives the first field of the request the format UUID4, and format gives it a (google.api.field_info) of these bytes.
	uuid   bool
	format []byte
	// later has the options of method Pay that a text cannot express.
	later *descriptorpb.MethodOptions
	// store is where its server keeps keys; nil: a new one.
	store store.Store
}

// declared counts the files, since a registry forgets nothing.
var declared atomic.Int64

// newPackage returns the name of a package that is not declared yet.
func newPackage() string { return fmt.Sprintf("declared%d.v1", declared.Add(1)) }

// register registers the file, and returns its package and its service.
func (d declaration) register(t *testing.T) (pkg string, service protoreflect.ServiceDescriptor) {
	t.Helper()

	pkg = d.pkg
	if pkg == "" {
		pkg = newPackage()
	}

	imports := `dependency: "onlyonce/v1/options.proto" `
	if d.before != "" {
		registerFile(t, parseFile(t, pkg, "before", imports+d.before))

		imports += `dependency: "PKG/before.proto" `
	}

	made := d.main(t, pkg, imports)
	registerFile(t, made)

	if d.after != "" {
		registerFile(t, parseFile(t, pkg, "after", imports+`dependency: "PKG/bank.proto" `+d.after))
	}

	return pkg, findService(t, pkg+".Bank")
}

// main is the file that has the service.
func (d declaration) main(t *testing.T, pkg, imports string) *descriptorpb.FileDescriptorProto {
	t.Helper()

	input := d.input
	if input == "" {
		input = ".PKG.Request"
	}

	file := parseFile(t, pkg, "bank", imports+fmt.Sprintf(`syntax: "proto3"
		message_type { name: "Request" %s } message_type { name: "Response" %s } %s
		service { name: "Bank" options { %s }
			method { name: "Pay" input_type: "%s" output_type: ".PKG.Response" options { %s } } %s
		}`, d.request, str("receipt", 1, ""), d.messages, d.service, input, d.method, d.methods))

	if d.later != nil {
		file.GetService()[0].GetMethod()[0].Options = d.later
	}

	if d.uuid {
		d.format = []byte{0x08, 0x01}
	}

	if d.format != nil {
		declareFormat(file.GetMessageType()[0].GetField()[0], d.format)
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

	return file
}

// parseFile makes a file of a package from the text form of its descriptor. PKG in the text is the package.
func parseFile(t *testing.T, pkg, name, text string) *descriptorpb.FileDescriptorProto {
	t.Helper()

	text = strings.ReplaceAll(fmt.Sprintf(`name: "PKG/%s.proto" package: "PKG" `, name)+text, "PKG", pkg)

	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(text), file); err != nil {
		t.Fatalf("the declaration of the test: %v\n%s", err, text)
	}

	return file
}

// registerFile registers a file, whose types may be unknown.
func registerFile(t *testing.T, file *descriptorpb.FileDescriptorProto) {
	t.Helper()

	made, err := protodesc.FileOptions{AllowUnresolvable: true}.New(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}

	if err := protoregistry.GlobalFiles.RegisterFile(made); err != nil {
		t.Fatal(err)
	}
}

func findService(t *testing.T, name string) protoreflect.ServiceDescriptor {
	t.Helper()

	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}

	service, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		t.Fatalf("%s is a %T", name, found)
	}

	return service
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

// declareFormat puts a (google.api.field_info) into the options of a field. That extension is not linked in.
func declareFormat(fd *descriptorpb.FieldDescriptorProto, info []byte) {
	if fd.GetOptions() == nil {
		fd.Options = new(descriptorpb.FieldOptions)
	}

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

// registeredServices is the list of a server's services.
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
