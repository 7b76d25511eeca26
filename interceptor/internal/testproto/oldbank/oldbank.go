// Package oldbank has messages as generators made them before 2020, written by hand: their types have no ProtoReflect.
package oldbank

import (
	"bytes"
	"compress/gzip"
	"fmt"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/runtime/protoimpl"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1" // the options
)

// The methods of the service.
const (
	ServiceName = "oldbank.v1.Bank"
	Pay         = "/oldbank.v1.Bank/Pay"
	PayCustom   = "/oldbank.v1.Bank/PayCustom"   // its request has a custom type
	AnswerPanic = "/oldbank.v1.Bank/AnswerPanic" // its response has a custom type in a nested message
	Late        = "/oldbank.v1.Bank/Late"        // its messages are registered as descriptors alone
)

const file = `name: "oldbank/v1/bank.proto" package: "oldbank.v1" syntax: "proto3" dependency: "onlyonce/v1/options.proto"
	message_type { name: "PayRequest"
		field { name: "request_id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL options { [onlyonce.v1.field] { key: true } } }
		field { name: "account" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
		field { name: "lines" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".oldbank.v1.Line" }
		field { name: "note" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL options { [onlyonce.v1.field] { ignored: true } } }
	}
	message_type { name: "PayResponse" field { name: "receipt" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
	message_type { name: "Line" field { name: "amount" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL } }
	message_type { name: "Custom" field { name: "id" number: 1 type: TYPE_BYTES label: LABEL_OPTIONAL } }
	message_type { name: "Nested" field { name: "custom" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".oldbank.v1.Custom" } }
	message_type { name: "LateRequest" field { name: "account" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
	service { name: "Bank"
		method { name: "Pay" input_type: ".oldbank.v1.PayRequest" output_type: ".oldbank.v1.PayResponse" }
		method { name: "PayCustom" input_type: ".oldbank.v1.Custom" output_type: ".oldbank.v1.PayResponse" }
		method { name: "AnswerPanic" input_type: ".oldbank.v1.PayRequest" output_type: ".oldbank.v1.Nested" }
		method { name: "Late" input_type: ".oldbank.v1.LateRequest" output_type: ".oldbank.v1.PayResponse" }
	}`

// PayRequest is as protoc-gen-go 1.3 wrote it.
type PayRequest struct {
	RequestId string  `protobuf:"bytes,1,opt,name=request_id,json=requestId,proto3" json:"request_id,omitempty"`
	Account   string  `protobuf:"bytes,2,opt,name=account,proto3"                   json:"account,omitempty"`
	Lines     []*Line `protobuf:"bytes,3,rep,name=lines,proto3"                     json:"lines,omitempty"`
	Note      string  `protobuf:"bytes,4,opt,name=note,proto3"                      json:"note,omitempty"`

	XXX_NoUnkeyedLiteral struct{} `json:"-"`
	XXX_unrecognized     []byte   `json:"-"`
	XXX_sizecache        int32    `json:"-"`
}

func (m *PayRequest) Reset()                    { *m = PayRequest{} }
func (m *PayRequest) String() string            { return text(m) }
func (*PayRequest) ProtoMessage()               {}
func (*PayRequest) Descriptor() ([]byte, []int) { return compressed, []int{0} }

// PayResponse is the answer.
type PayResponse struct {
	Receipt string `protobuf:"bytes,1,opt,name=receipt,proto3" json:"receipt,omitempty"`

	XXX_NoUnkeyedLiteral struct{} `json:"-"`
	XXX_unrecognized     []byte   `json:"-"`
	XXX_sizecache        int32    `json:"-"`
}

func (m *PayResponse) Reset()                    { *m = PayResponse{} }
func (m *PayResponse) String() string            { return text(m) }
func (*PayResponse) ProtoMessage()               {}
func (*PayResponse) Descriptor() ([]byte, []int) { return compressed, []int{1} }

// Line is a part of a request.
type Line struct {
	Amount int64 `protobuf:"varint,1,opt,name=amount,proto3" json:"amount,omitempty"`
}

func (m *Line) Reset()                    { *m = Line{} }
func (m *Line) String() string            { return text(m) }
func (*Line) ProtoMessage()               {}
func (*Line) Descriptor() ([]byte, []int) { return compressed, []int{2} }

// UUID is a custom type of gogo/protobuf, which knows how to encode itself.
type UUID [16]byte

// Custom has a field of a custom type. Like gogo/protobuf's messages, it encodes itself.
type Custom struct {
	Id UUID `protobuf:"bytes,1,opt,name=id,proto3,customtype=UUID" json:"id"`
}

func (m *Custom) Reset()                    { *m = Custom{} }
func (m *Custom) String() string            { return fmt.Sprintf("%x", m.Id) }
func (*Custom) ProtoMessage()               {}
func (*Custom) Descriptor() ([]byte, []int) { return compressed, []int{3} }

// Marshal encodes the message.
func (m *Custom) Marshal() ([]byte, error) { return append([]byte{10, 16}, m.Id[:]...), nil }

// Unmarshal decodes the message.
func (m *Custom) Unmarshal(data []byte) error {
	if len(data) >= 18 {
		copy(m.Id[:], data[2:])
	}

	return nil
}

// Nested has a message with a custom type.
type Nested struct {
	Custom *Custom `protobuf:"bytes,1,opt,name=custom,proto3" json:"custom,omitempty"`
}

func (m *Nested) Reset()                    { *m = Nested{} }
func (m *Nested) String() string            { return m.Custom.String() }
func (*Nested) ProtoMessage()               {}
func (*Nested) Descriptor() ([]byte, []int) { return compressed, []int{4} }

// LateRequest is not in the registry of types. It breaks when it is encoded, if it is made to.
type LateRequest struct {
	Account string `protobuf:"bytes,1,opt,name=account,proto3" json:"account,omitempty"`
}

func (m *LateRequest) Reset()                    { *m = LateRequest{} }
func (m *LateRequest) String() string            { return m.Account }
func (*LateRequest) ProtoMessage()               {}
func (*LateRequest) Descriptor() ([]byte, []int) { return compressed, []int{5} }

// Marshal encodes the message.
func (m *LateRequest) Marshal() ([]byte, error) {
	if m.Account == "panic" {
		panic("this account cannot be encoded")
	}

	return protowire.AppendString([]byte{10}, m.Account), nil
}

// Unmarshal decodes the message.
func (m *LateRequest) Unmarshal(data []byte) error {
	if len(data) > 2 {
		m.Account = string(data[2:])
	}

	return nil
}

func text(m protoadapt.MessageV1) string { return prototext.Format(protoadapt.MessageV2Of(m)) }

var compressed = register()

// register registers the file and the types, as package github.com/golang/protobuf/proto does it for old code.
func register() []byte {
	made := new(descriptorpb.FileDescriptorProto)
	must(prototext.Unmarshal([]byte(file), made))

	descriptor, err := protodesc.NewFile(made, protoregistry.GlobalFiles)
	must(err)
	must(protoregistry.GlobalFiles.RegisterFile(descriptor))

	data, err := proto.Marshal(made)
	must(err)

	var out bytes.Buffer

	w := gzip.NewWriter(&out)
	_, err = w.Write(data)
	must(err)
	must(w.Close())

	return out.Bytes()
}

func init() {
	for name, msg := range map[string]protoadapt.MessageV1{
		"PayRequest": (*PayRequest)(nil), "PayResponse": (*PayResponse)(nil), "Line": (*Line)(nil),
		"Custom": (*Custom)(nil), "Nested": (*Nested)(nil),
	} {
		must(protoregistry.GlobalTypes.RegisterMessage(
			protoimpl.X.LegacyMessageTypeOf(msg, protoreflect.FullName("oldbank.v1."+name))))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
