package interceptor

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/onlyonce-go/onlyonce"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// FuzzAnnotations reads options of any bytes, as descriptors received at run time may have them. Each method gets a
// valid policy, or is refused.
func FuzzAnnotations(f *testing.F) {
	options := func(extension protoreflect.ExtensionType, into, value proto.Message) []byte {
		proto.SetExtension(into, extension, value)

		data, err := proto.Marshal(into)
		if err != nil {
			f.Fatal(err)
		}

		return data
	}

	required := &onlyoncev1.Policy{Key: onlyoncev1.KeyUse_KEY_USE_REQUIRED.Enum(), Guarantee: onlyoncev1.Guarantee(9).Enum()}
	classes := &onlyoncev1.Policy{Classes: []*onlyoncev1.CodeClass{
		{Code: proto.Int32(13), Class: onlyoncev1.OutcomeClass(1).Enum()}, {Code: proto.Int32(-1), Class: onlyoncev1.OutcomeClass(7).Enum()},
	}}

	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Add(
		options(onlyoncev1.E_Service, new(descriptorpb.ServiceOptions), required),
		options(onlyoncev1.E_Method, new(descriptorpb.MethodOptions), classes),
		options(onlyoncev1.E_Field, new(descriptorpb.FieldOptions), &onlyoncev1.Field{Key: new(true)}),
	)

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, ofService, ofMethod, ofField []byte) {
		file := &descriptorpb.FileDescriptorProto{
			Name: new("fuzzed.proto"), Package: new("fuzzed"), Syntax: new("proto3"),
			MessageType: []*descriptorpb.DescriptorProto{{
				Name: new("Request"),
				Field: []*descriptorpb.FieldDescriptorProto{{
					Name: new("a"), Number: new(int32(1)), Options: new(descriptorpb.FieldOptions),
					Type:  descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
					Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
				}},
			}},
			Service: []*descriptorpb.ServiceDescriptorProto{{
				Name: new("Bank"), Options: new(descriptorpb.ServiceOptions),
				Method: []*descriptorpb.MethodDescriptorProto{{
					Name: new("Pay"), InputType: new(".fuzzed.Request"), OutputType: new(".fuzzed.Request"),
					Options: new(descriptorpb.MethodOptions),
				}},
			}},
		}

		bytesOnly := proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}
		if bytesOnly.Unmarshal(ofService, file.GetService()[0].GetOptions()) != nil ||
			bytesOnly.Unmarshal(ofMethod, file.GetService()[0].GetMethod()[0].GetOptions()) != nil ||
			bytesOnly.Unmarshal(ofField, file.GetMessageType()[0].GetField()[0].GetOptions()) != nil {
			return // no descriptor can hold them
		}

		made, err := protodesc.NewFile(file, nil)
		if err != nil {
			return
		}

		said := annotationsOf(made.Services().Get(0).Methods().Get(0))

		m := &method{key: said.policy.Key}
		m.judge(&said, KeyInherit, func() error { return said.policy.validate(engine, "policy") })

		if m.broken == nil && m.key != KeyIgnored && engine.Validate(said.policy.Policy) != nil {
			t.Errorf("a policy that cannot hold is used: %+v", said.policy)
		}
	})
}
