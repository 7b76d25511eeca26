package console

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// Transport translates between what a transport stores and what people read and write. All functions may be nil.
type Transport struct {
	// Codes are the error codes that a person can choose from, the usual one first.
	Codes []string
	// Fail is the finding that a call ended with an error. Nil means that nobody can settle a record so.
	Fail func(method, code, message string) (onlyonce.Finding, error)
	// Respond is the finding that a call ended with a response, as a person has written it. Nil means that nobody can settle a record so.
	Respond func(method, text string) (onlyonce.Finding, error)
	// ResponseForm says how a person writes the response of a method, such as "JSON of bank.v1.PayResponse".
	ResponseForm func(method string) string
	// Request is a stored request for people. Nil means a dump of its bytes.
	Request func(method string, body []byte) (string, error)
	// Answer is a stored answer for people. Nil means a dump of its bytes.
	Answer func(method, code string, body []byte) (string, error)
}

func (t *Transport) isZero() bool {
	return t.Codes == nil && t.Fail == nil && t.Respond == nil && t.ResponseForm == nil && t.Request == nil && t.Answer == nil
}

// Descriptors find the descriptors of services and messages. [protoregistry.Files] does.
type Descriptors interface {
	FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error)
}

// GRPC is the transport of package interceptor. Requests and responses are JSON where their messages are known, and otherwise base64 of
// their bytes. Nil means the messages that are linked into the program.
func GRPC(known Descriptors) Transport {
	if known == nil {
		known = protoregistry.GlobalFiles
	}

	g := grpcTransport{known: known}

	return Transport{
		Codes: grpcCodes(), Fail: g.fail, Respond: g.respond, ResponseForm: g.responseForm, Request: g.request, Answer: g.answer,
	}
}

type grpcTransport struct{ known Descriptors }

// grpcCodes are the names of the codes in JSON. FAILED_PRECONDITION comes first, since callers do not try again after it.
func grpcCodes() []string {
	return []string{
		"FAILED_PRECONDITION", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	}
}

func (grpcTransport) fail(_, code, message string) (onlyonce.Finding, error) {
	var c codes.Code

	if err := c.UnmarshalJSON([]byte(`"` + code + `"`)); err != nil || c == codes.OK {
		return onlyonce.Finding{}, fmt.Errorf("%q is no error code of gRPC", code)
	}

	return interceptor.FindingOf(nil, status.Error(c, message))
}

func (g grpcTransport) respond(method, text string) (onlyonce.Finding, error) {
	if desc := g.method(method); desc != nil {
		msg := dynamicpb.NewMessage(desc.Output())
		if err := (protojson.UnmarshalOptions{Resolver: dynamicTypes(g.known)}).Unmarshal([]byte(text), msg); err != nil {
			return onlyonce.Finding{}, fmt.Errorf("the response is no JSON of %s: %w", desc.Output().FullName(), err)
		}

		return interceptor.FindingOf(msg, nil)
	}

	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return onlyonce.Finding{}, fmt.Errorf("the response is no base64: %w", err)
	}

	// A message without fields of its own has the bytes that it was made of.
	raw := new(emptypb.Empty)
	if err := proto.Unmarshal(data, raw); err != nil {
		return onlyonce.Finding{}, fmt.Errorf("the response is no message: %w", err)
	}

	return interceptor.FindingOf(raw, nil)
}

func (g grpcTransport) responseForm(method string) string {
	if desc := g.method(method); desc != nil {
		return "JSON of " + string(desc.Output().FullName())
	}

	return "base64 of the response message, whose type this program does not know"
}

func (g grpcTransport) request(method string, body []byte) (string, error) {
	if desc := g.method(method); desc != nil {
		return g.json(desc.Input(), body)
	}

	return dump(body), nil
}

func (g grpcTransport) answer(method, code string, body []byte) (string, error) {
	recorded, ok, err := interceptor.DecodeRecord(onlyonce.Record{Record: store.Record{State: store.Completed}, Code: code, Body: body})

	switch {
	case err != nil || !ok:
		return dump(body), err
	case recorded.Status.Code() != codes.OK:
		return formatted(recorded.Status.Proto(), g.known)
	}

	if desc := g.method(method); desc != nil {
		return g.json(desc.Output(), recorded.Response)
	}

	return dump(recorded.Response), nil
}

// method finds a method by its full name, such as "/bank.v1.Bank/Pay". It is nil if the method is not known.
func (g grpcTransport) method(full string) protoreflect.MethodDescriptor {
	service, name, ok := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	if !ok || !protoreflect.FullName(service).IsValid() {
		return nil
	}

	found, err := g.known.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil
	}

	desc, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}

	return desc.Methods().ByName(protoreflect.Name(name))
}

func (g grpcTransport) json(desc protoreflect.MessageDescriptor, body []byte) (string, error) {
	msg := dynamicpb.NewMessage(desc)
	if err := proto.Unmarshal(body, msg); err != nil {
		return dump(body), fmt.Errorf("the bytes are no %s: %w", desc.FullName(), err)
	}

	return formatted(msg, g.known)
}

// formatted is a message as JSON. The same message has the same text in every process, which that of protojson has not.
func formatted(msg proto.Message, known Descriptors) (string, error) {
	text, err := protojson.MarshalOptions{Resolver: dynamicTypes(known)}.Marshal(msg)
	if err != nil {
		return "", err
	}

	var out bytes.Buffer

	err = json.Indent(&out, text, "", "  ")

	return out.String(), err
}

// types finds the messages inside of a google.protobuf.Any.
type types struct {
	*protoregistry.Types

	known Descriptors
}

func dynamicTypes(known Descriptors) types { return types{protoregistry.GlobalTypes, known} }

// FindMessageByURL looks among the linked types, and then among the known descriptors.
func (t types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return t.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
}

// FindMessageByName looks among the linked types, and then among the known descriptors.
func (t types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if linked, err := t.Types.FindMessageByName(name); err == nil {
		return linked, nil
	}

	found, err := t.known.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}

	desc, ok := found.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, errors.New("not a message: " + string(name))
	}

	return dynamicpb.NewMessageType(desc), nil
}

// dump shows bytes as hexadecimal digits and text.
func dump(body []byte) string {
	if len(body) == 0 {
		return "(no bytes)"
	}

	return hex.Dump(body)
}
