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

// Transport converts stored requests and answers to text and back. Every function may be nil.
type Transport struct {
	// Codes are the error codes in the form. The first is preselected.
	Codes []string
	// Fail returns the finding for a call that ended with an error. Nil means that the form offers no errors.
	Fail func(method, code, message string) (onlyonce.Finding, error)
	// Respond returns the finding for a call that ended with a response. Text is the person's input. Nil means that the form offers no
	// responses.
	Respond func(method, text string) (onlyonce.Finding, error)
	// ResponseForm describes the expected text of a response, such as "JSON of bank.v1.PayResponse".
	ResponseForm func(method string) string
	// Request formats a stored request. Nil means a hexadecimal dump.
	Request func(method string, body []byte) (string, error)
	// Answer formats a stored answer. Nil means a hexadecimal dump.
	Answer func(method, code string, body []byte) (string, error)
}

func (t *Transport) isZero() bool {
	return t.Codes == nil && t.Fail == nil && t.Respond == nil && t.ResponseForm == nil && t.Request == nil && t.Answer == nil
}

// Descriptors finds the descriptors of services and messages. [protoregistry.Files] implements it.
type Descriptors interface {
	FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error)
}

// GRPC returns the transport for records of package interceptor. It shows messages of known types as JSON, and others as base64. Nil means
// the message types linked into the program. It also shows requests and answers of package oncehttp, as text. Fail and Respond refuse a
// method of another transport.
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

// grpcCodes returns the names of the codes. FAILED_PRECONDITION comes first, because clients do not retry it.
func grpcCodes() []string {
	return []string{
		"FAILED_PRECONDITION", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	}
}

func (grpcTransport) fail(method, code, message string) (onlyonce.Finding, error) {
	if err := checkGRPC(method); err != nil {
		return onlyonce.Finding{}, err
	}

	var c codes.Code

	if err := c.UnmarshalJSON([]byte(`"` + code + `"`)); err != nil || c == codes.OK {
		return onlyonce.Finding{}, fmt.Errorf("%q is no error code of gRPC", code)
	}

	return interceptor.FindingOf(nil, status.Error(c, message))
}

func (g grpcTransport) respond(method, text string) (onlyonce.Finding, error) {
	if err := checkGRPC(method); err != nil {
		return onlyonce.Finding{}, err
	}

	if desc := g.method(method); desc != nil {
		msg := dynamicpb.NewMessage(desc.Output())
		if err := (protojson.UnmarshalOptions{Resolver: dynamicTypes(g.known)}).Unmarshal([]byte(text), msg); err != nil {
			return onlyonce.Finding{}, fmt.Errorf("the response is not valid JSON of %s: %w", desc.Output().FullName(), err)
		}

		return interceptor.FindingOf(msg, nil)
	}

	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return onlyonce.Finding{}, fmt.Errorf("the response is not valid base64: %w", err)
	}

	// The empty message keeps the bytes as unknown fields.
	raw := new(emptypb.Empty)
	if err := proto.Unmarshal(data, raw); err != nil {
		return onlyonce.Finding{}, fmt.Errorf("the response is not a valid message: %w", err)
	}

	return interceptor.FindingOf(raw, nil)
}

// checkGRPC refuses a method of another transport, which could not read an answer of gRPC.
func checkGRPC(method string) error {
	service, name, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if ok && method[0] == '/' && service != "" && name != "" && !strings.Contains(name, "/") {
		return nil
	}

	return fmt.Errorf("%q is not a gRPC method, so its callers could not read this answer: settle the record with onlyonce resolve "+
		"or Engine.Resolve", method)
}

func (g grpcTransport) responseForm(method string) string {
	if desc := g.method(method); desc != nil {
		return "JSON of " + string(desc.Output().FullName())
	}

	return "base64 of the response message, whose type this program does not know"
}

func (g grpcTransport) request(method string, body []byte) (string, error) {
	if checkGRPC(method) != nil {
		if text, ok := httpRequest(body); ok {
			return text, nil
		}
	}

	if desc := g.method(method); desc != nil {
		return g.json(desc.Input(), body)
	}

	return dump(body), nil
}

func (g grpcTransport) answer(method, code string, body []byte) (string, error) {
	if checkGRPC(method) != nil {
		if text, ok := httpAnswer(code, body); ok {
			return text, nil
		}
	}

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

// method returns the descriptor of a method such as "/bank.v1.Bank/Pay", or nil.
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
		return dump(body), fmt.Errorf("the bytes are not a valid %s: %w", desc.FullName(), err)
	}

	return formatted(msg, g.known)
}

// formatted formats a message as JSON. Unlike protojson alone, the text is the same in every process.
func formatted(msg proto.Message, known Descriptors) (string, error) {
	text, err := protojson.MarshalOptions{Resolver: dynamicTypes(known)}.Marshal(msg)
	if err != nil {
		return "", err
	}

	var out bytes.Buffer

	err = json.Indent(&out, text, "", "  ")

	return out.String(), err
}

// types resolves the messages in a google.protobuf.Any.
type types struct {
	*protoregistry.Types

	known Descriptors
}

func dynamicTypes(known Descriptors) types { return types{protoregistry.GlobalTypes, known} }

// FindMessageByURL searches the linked types, then the known descriptors.
func (t types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return t.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
}

// FindMessageByName searches the linked types, then the known descriptors.
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

// dump formats bytes as hexadecimal digits and text.
func dump(body []byte) string {
	if len(body) == 0 {
		return "(no bytes)"
	}

	return hex.Dump(body)
}
