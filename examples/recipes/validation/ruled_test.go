package validation_test

import (
	"testing"

	rules "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
)

// ruled validates requests as if their .proto had a rule: int64 cents = 2 [(buf.validate.field).int64.gt = 0].
type ruled struct {
	protovalidate.Validator

	request protoreflect.MessageDescriptor
}

func newRuled(t *testing.T) ruled {
	t.Helper()

	file := protodesc.ToFileDescriptorProto(recipesv1.File_recipes_v1_recipes_proto)
	for _, field := range file.GetMessageType()[0].GetField() {
		if field.GetName() == "cents" {
			rule := rules.Int64Rules_builder{Gt: proto.Int64(0)}.Build()
			options := new(descriptorpb.FieldOptions)
			proto.SetExtension(options, rules.E_Field, rules.FieldRules_builder{Int64: rule}.Build())
			field.Options = options
		}
	}

	described, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}

	validator, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}

	return ruled{validator, described.Messages().ByName("PayRequest")}
}

func (r ruled) Validate(m proto.Message, opts ...protovalidate.ValidationOption) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return err
	}

	request := dynamicpb.NewMessage(r.request)
	if err := proto.Unmarshal(body, request); err != nil {
		return err
	}

	return r.Validator.Validate(request, opts...)
}
