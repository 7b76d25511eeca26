package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	rpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/spf13/cobra"
)

// typeFlags name the source of the message types.
type typeFlags struct {
	descriptors string
	reflect     string
	plaintext   bool
}

func (f *typeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.descriptors, "descriptors", "", "file with the message types, made by buf build -o or protoc -o")
	flags.StringVar(&f.reflect, "reflect", "", "address of a gRPC server with reflection; gives the message types")
	flags.BoolVar(&f.plaintext, "plaintext", false, "connect to the --reflect server without TLS")
	_ = cmd.MarkFlagFilename("descriptors", "binpb", "pb", "protoset", "desc") // the flag exists
}

// load reads the message types of a method. Without a flag, the result has no types.
func (f *typeFlags) load(ctx context.Context, method string) (*messageTypes, error) {
	switch {
	case f.descriptors != "" && f.reflect != "":
		return nil, usagef("--descriptors and --reflect: give one of them")
	case f.descriptors == "" && f.reflect == "":
		return &messageTypes{}, nil
	case !isGRPC(method):
		return nil, fmt.Errorf("method %q is not a gRPC method: omit --descriptors and --reflect", method)
	case f.descriptors != "":
		data, err := os.ReadFile(f.descriptors)
		if err != nil {
			return nil, fmt.Errorf("reading the descriptor set: %w", err)
		}

		set := new(descriptorpb.FileDescriptorSet)
		if err := proto.Unmarshal(data, set); err != nil {
			return nil, fmt.Errorf("reading the descriptor set %s: %w", f.descriptors, err)
		}

		return newMessageTypes(set)
	default:
		set, err := f.reflected(ctx, method)
		if err != nil {
			return nil, fmt.Errorf("reading the types of %s from %s: %w%s", method, f.reflect, err, f.remedy(err))
		}

		return newMessageTypes(set)
	}
}

// remedy returns what to change after an error of reflected. It is empty if nothing is known.
func (f *typeFlags) remedy(err error) string {
	switch {
	case status.Code(err) != codes.Unavailable:
		return ""
	case f.plaintext:
		return "; if the server uses TLS, omit --plaintext"
	default:
		return "; if the server does not use TLS, add --plaintext"
	}
}

// reflected reads the files of a service from a server with reflection.
func (f *typeFlags) reflected(ctx context.Context, method string) (*descriptorpb.FileDescriptorSet, error) {
	security := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	if f.plaintext {
		security = insecure.NewCredentials()
	}

	conn, err := grpc.NewClient(f.reflect, grpc.WithTransportCredentials(security))
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it

	stream, err := rpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}

	r := typeReader{stream: stream, files: make(map[string]*descriptorpb.FileDescriptorProto)}
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")

	if err := r.read(&rpb.ServerReflectionRequest{
		MessageRequest: &rpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	}); err != nil {
		return nil, err
	}

	set := new(descriptorpb.FileDescriptorSet)
	for _, file := range r.files {
		set.File = append(set.File, file)
	}

	return set, nil
}

// typeReader reads descriptor files from a server.
type typeReader struct {
	stream rpb.ServerReflection_ServerReflectionInfoClient
	files  map[string]*descriptorpb.FileDescriptorProto
}

// read reads a file and all its imports.
func (r *typeReader) read(req *rpb.ServerReflectionRequest) error {
	if err := r.stream.Send(req); err != nil {
		return err
	}

	resp, err := r.stream.Recv()
	if err != nil {
		return err
	}

	if problem := resp.GetErrorResponse(); problem != nil {
		return errors.New(problem.GetErrorMessage())
	}

	var imports []string

	for _, data := range resp.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(data, file); err != nil {
			return err
		}

		r.files[file.GetName()] = file
		imports = append(imports, file.GetDependency()...)
	}

	for _, name := range imports {
		if r.files[name] != nil {
			continue
		}

		if err := r.read(&rpb.ServerReflectionRequest{
			MessageRequest: &rpb.ServerReflectionRequest_FileByFilename{FileByFilename: name},
		}); err != nil {
			return err
		}
	}

	return nil
}

// messageTypes has the message types of methods. The zero value has none.
type messageTypes struct {
	files *protoregistry.Files
	types *dynamicpb.Types
}

func newMessageTypes(set *descriptorpb.FileDescriptorSet) (*messageTypes, error) {
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("reading descriptors: %w", err)
	}

	return &messageTypes{files: files, types: dynamicpb.NewTypes(files)}, nil
}

// known reports whether there are any types.
func (m *messageTypes) known() bool { return m.files != nil }

// method returns the descriptor of a gRPC method.
func (m *messageTypes) method(name string) (protoreflect.MethodDescriptor, error) {
	full := strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")

	found, err := m.files.FindDescriptorByName(protoreflect.FullName(full))
	if err != nil {
		return nil, fmt.Errorf("the descriptors have no method %s: %w", name, err)
	}

	method, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("the descriptors have no method %s: the name belongs to something else", name)
	}

	return method, nil
}

// request decodes a stored request. The result has JSON if the type is known.
func (m *messageTypes) request(method string, data []byte) (*payload, error) {
	if !m.known() {
		return &payload{Bytes: data}, nil
	}

	found, err := m.method(method)
	if err != nil {
		return nil, err
	}

	return m.message(found.Input(), data)
}

// response decodes a stored response. The result has JSON if the type is known.
func (m *messageTypes) response(method string, data []byte) (*payload, error) {
	if !m.known() {
		return &payload{Bytes: data}, nil
	}

	found, err := m.method(method)
	if err != nil {
		return nil, err
	}

	return m.message(found.Output(), data)
}

func (m *messageTypes) message(of protoreflect.MessageDescriptor, data []byte) (*payload, error) {
	msg := dynamicpb.NewMessage(of)
	if err := (proto.UnmarshalOptions{Resolver: m.types}).Unmarshal(data, msg); err != nil {
		return nil, fmt.Errorf("reading a %s: %w", of.FullName(), err)
	}

	text, err := protojson.MarshalOptions{Resolver: m.types, Multiline: false}.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("writing a %s as JSON: %w", of.FullName(), err)
	}

	return &payload{JSON: jsonText(indented(text))}, nil
}

// parse parses a response that is written as JSON.
func (m *messageTypes) parse(method string, text []byte) (proto.Message, error) {
	found, err := m.method(method)
	if err != nil {
		return nil, err
	}

	msg := dynamicpb.NewMessage(found.Output())
	if err := (protojson.UnmarshalOptions{Resolver: m.types}).Unmarshal(text, msg); err != nil {
		return nil, fmt.Errorf("reading the response as a %s: %w", found.Output().FullName(), err)
	}

	return msg, nil
}
