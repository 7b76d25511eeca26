package fingerprint_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// fileOf is the description of everything.proto, read by a program that resolves options so.
func fileOf(t *testing.T, resolver interface {
	FindExtensionByName(field protoreflect.FullName) (protoreflect.ExtensionType, error)
	FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error)
},
) protoreflect.FileDescriptor {
	t.Helper()

	wire, err := proto.Marshal(protodesc.ToFileDescriptorProto(vectors.File_onlyonce_fingerprint_v1_everything_proto))
	if err != nil {
		t.Fatal(err)
	}

	file := new(descriptorpb.FileDescriptorProto)
	if err := (proto.UnmarshalOptions{Resolver: resolver}).Unmarshal(wire, file); err != nil {
		t.Fatal(err)
	}

	built, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}

	return built
}

func annotated(t *testing.T, file protoreflect.FileDescriptor) {
	t.Helper()

	msg := dynamicpb.NewMessage(file.Messages().ByName("Everything"))
	parse(t, fields(text(14, "x"), message(17, text(3, "note"), text(1, "a")), text(18, "key"), text(19, "trace"), message(111, text(18,
		"key"))), msg)

	want := &vectors.Everything{StringValue: "x", Leaf: &vectors.Leaf{Name: "a"}, Self: &vectors.Everything{RequestId: "key"}}
	if of(t, msg) != of(t, want) {
		t.Error("annotations are not honoured")
	}
}

func TestAnnotationsThatAreUnknownToADescriptorAreHonoured(t *testing.T) {
	file := fileOf(t, new(protoregistry.Types))

	options := file.Messages().ByName("Everything").Fields().ByName("trace_id").Options()
	if len(options.ProtoReflect().GetUnknown()) == 0 || proto.HasExtension(options, onlyoncev1.E_Field) {
		t.Fatal("the options are known")
	}

	annotated(t, file)
}

// A program that reads .proto files at run time has dynamic types for everything in them. The package must not panic on them.
func TestAnnotationsOfTypesMadeAtRunTimeAreHonoured(t *testing.T) {
	files := new(protoregistry.Files)
	if err := files.RegisterFile(onlyoncev1.File_onlyonce_v1_options_proto); err != nil {
		t.Fatal(err)
	}

	file := fileOf(t, dynamicpb.NewTypes(files))
	if len(file.Messages().ByName("Everything").Fields().ByName("trace_id").Options().ProtoReflect().GetUnknown()) != 0 {
		t.Fatal("the options are unknown")
	}

	annotated(t, file)
}

func TestFalseAnnotationsHaveNoEffect(t *testing.T) {
	file := protodesc.ToFileDescriptorProto(vectors.File_onlyonce_fingerprint_v1_everything_proto)
	for _, msg := range file.GetMessageType() {
		for _, field := range msg.GetField() {
			if proto.HasExtension(field.GetOptions(), onlyoncev1.E_Field) {
				field.Options = proto.CloneOf(field.GetOptions())
				proto.SetExtension(field.GetOptions(), onlyoncev1.E_Field, &onlyoncev1.Field{Scope: new(true)})
			}
		}
	}

	built, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}

	msg := parse(t, fields(text(18, "key"), text(19, "trace")), dynamicpb.NewMessage(built.Messages().ByName("Everything")))
	is(t, msg, text(18, "key"), text(19, "trace"))
}

func TestKeyWithAHighNumberCountsBelowTheRequest(t *testing.T) {
	options := new(descriptorpb.FieldOptions)
	proto.SetExtension(options, onlyoncev1.E_Field, &onlyoncev1.Field{Key: new(true)})

	optional := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()

	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("high.proto"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("High"), Field: []*descriptorpb.FieldDescriptorProto{
			{
				Name: new("key"), Number: new(int32(1000)), Label: optional,
				Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Options: options,
			},
			{
				Name: new("self"), Number: new(int32(2000)), Label: optional,
				Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: new(".High"),
			},
		}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}

	msg := dynamicpb.NewMessage(file.Messages().Get(0))
	is(t, parse(t, fields(text(1000, "key"), message(2000, text(1000, "inner"))), msg), message(2000, text(1000, "inner")))
}

func TestManyTypes(t *testing.T) {
	for i := range 4_200 { // more than are remembered
		file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
			Name: new("many.proto"), Syntax: new("proto3"),
			MessageType: []*descriptorpb.DescriptorProto{{Name: new("Many"), Field: []*descriptorpb.FieldDescriptorProto{{
				Name: new("list"), Number: new(int32(1 + i)), Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(),
				Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(), Options: &descriptorpb.FieldOptions{Packed: new(false)},
			}}}},
		}, protoregistry.GlobalFiles)
		if err != nil {
			t.Fatal(err)
		}

		number := protowire.Number(1 + i)
		is(t, parse(t, fields(varint(number, 1), varint(number, 2)), dynamicpb.NewMessage(file.Messages().Get(0))), text(number, "\x01\x02"))
	}
}
