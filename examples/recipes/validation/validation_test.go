package validation_test

import (
	"testing"

	rules "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/examples/recipes/validation"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func TestRefusalIsAnAnswerOfTheKitAndPaysNothing(t *testing.T) {
	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	payments := new(trial.Payments)
	client := trial.Serve(t, validation.NewServer(protect, newRuled(t)), payments)

	for _, call := range []struct {
		key    string
		cents  int64
		code   codes.Code
		status onlyonce.Status
	}{
		{"order-7", 0, codes.InvalidArgument, onlyonce.StatusExecuted},
		{"order-7", 0, codes.InvalidArgument, onlyonce.StatusReplayed},
		{"order-8", 100, codes.OK, onlyonce.StatusExecuted},
		{"order-8", 100, codes.OK, onlyonce.StatusReplayed},
	} {
		var trailer metadata.MD

		_, err := client.Pay(t.Context(), &recipesv1.PayRequest{Cents: call.cents}, interceptor.WithKey(call.key), grpc.Trailer(&trailer))
		if got := trailer.Get(interceptor.StatusTrailer); status.Code(err) != call.code || len(got) != 1 || got[0] != string(call.status) {
			t.Errorf("%s: %v, %v", call.key, err, got)
		}

		if call.code == codes.InvalidArgument && !violates(err, "cents") {
			t.Errorf("%s: the details of %v do not name the field", call.key, err)
		}
	}

	if n := payments.Made(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}

// violates reports whether an error has the violation of one field as a detail.
func violates(err error, field string) bool {
	for _, detail := range status.Convert(err).Details() {
		if v, ok := detail.(*rules.Violations); ok && len(v.GetViolations()) == 1 {
			return protovalidate.FieldPathString(v.GetViolations()[0].GetField()) == field
		}
	}

	return false
}
