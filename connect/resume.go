package onceconnect

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/calloption"
	"github.com/onlyonce-go/onlyonce/journal"
)

// Destination is where [Resume] sends the calls of a journal.
type Destination struct {
	// HTTPClient sends the requests. Resume wraps it by the function [HTTPClient]. Nil means http.DefaultClient.
	HTTPClient connect.HTTPClient
	// BaseURL is the base URL of the clients, such as "https://payments.internal". The journal knows only its host, as the clients write it.
	// For the calls of another host or another spelling, such as "payments.internal:443", use journal.WithTarget. If several base URLs
	// differ only in their paths, give each its own journal.
	BaseURL string
	// Options are the options of the clients, with the [Client] among their interceptors. Requests are always sent in the binary form of
	// protobuf.
	Options []connect.ClientOption
	// Unconfirmed also sends calls of methods that only an option of the client protects and that no server has confirmed. Set it only if all
	// servers behind BaseURL protect all methods in the journal: a server without the kit runs a call again. The default is false.
	Unconfirmed bool
}

// Resume sends the calls that the journal of [interceptor.WithJournal] has for the host of the base URL, with their keys. The rules of
// [journal.Journal.Resume] and [interceptor.Resume] hold.
//
//   - An answer is a proto.Message. It has the generated type of the method's response if that type is linked in. It is an emptypb.Empty
//     with unknown fields if the method's descriptor is not linked in.
//   - Resume fails if the base URL is invalid or has no host.
//   - A call fails before it is sent if no Client in the options protects its method.
func Resume(ctx context.Context, j *journal.Journal, to Destination, opts ...journal.ResumeOption) (journal.Summary, error) {
	base, err := url.Parse(to.BaseURL)
	if err != nil || base.Host == "" {
		return journal.Summary{}, fmt.Errorf("onceconnect: Resume: %q is no base URL: write it as in \"https://payments.internal\"", to.BaseURL)
	}

	to.HTTPClient = HTTPClient(to.HTTPClient)
	to.Options = append(slices.Clip(to.Options), connect.WithCodec(binary{}), connect.WithInterceptors(guard()))

	return j.Resume(ctx, base.Host, journal.SenderFunc(to.send), opts...)
}

// send sends one call.
func (d *Destination) send(ctx context.Context, entry journal.Entry) (any, error) {
	ctx = context.WithValue(onlyonce.ContextWithKey(ctx, entry.Key), resumedKey{}, &resumed{
		written: entry.Written, unconfirmed: d.Unconfirmed,
	})
	address := strings.TrimRight(d.BaseURL, "/") + entry.Method

	method := methodNamed(entry.Method)
	if method == nil {
		req := new(emptypb.Empty)
		if err := proto.Unmarshal(entry.Request, req); err != nil {
			return nil, errRequest(entry.Method, err)
		}

		return sent(connect.NewClient[emptypb.Empty, emptypb.Empty](d.HTTPClient, address, d.Options...).CallUnary(ctx, connect.NewRequest(req)))
	}

	req := dynamicpb.NewMessage(method.Input())
	if err := proto.Unmarshal(entry.Request, req); err != nil {
		return nil, errRequest(entry.Method, err)
	}

	client := connect.NewClient[dynamicpb.Message, dynamicpb.Message](d.HTTPClient, address,
		append(slices.Clip(d.Options), connect.WithSchema(method), connect.WithResponseInitializer(initialize))...)

	resp, err := sent(client.CallUnary(ctx, connect.NewRequest(req)))
	if err != nil {
		return nil, err
	}

	return generated(resp)
}

// sent returns the message of a response.
func sent[T any, P interface {
	*T
	proto.Message
}](resp *connect.Response[T], err error) (proto.Message, error) {
	if err != nil {
		return nil, err
	}

	return P(resp.Msg), nil
}

func errRequest(method string, err error) error {
	return fmt.Errorf("onceconnect: decoding the request of %s in the journal: %w", method, err)
}

// methodNamed returns the descriptor of a method, or nil.
func methodNamed(fullMethod string) protoreflect.MethodDescriptor {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(fullMethod, "/"), "/", "."))

	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil
	}

	method, _ := found.(protoreflect.MethodDescriptor)

	return method
}

// initialize gives a dynamic response the type of its method.
func initialize(spec connect.Spec, msg any) error {
	method, described := spec.Schema.(protoreflect.MethodDescriptor)

	response, dynamic := msg.(*dynamicpb.Message)
	if described && dynamic {
		*response = *dynamicpb.NewMessage(method.Output())
	}

	return nil
}

// generated returns a response in its generated type. It returns the response unchanged if the type is not linked in.
func generated(msg proto.Message) (proto.Message, error) {
	found, err := protoregistry.GlobalTypes.FindMessageByName(msg.ProtoReflect().Descriptor().FullName())
	if err != nil {
		return msg, nil //nolint:nilerr // the dynamic message has it all
	}

	data, err := proto.Marshal(msg)
	if err != nil {
		return nil, err
	}

	made := found.New().Interface()

	return made, proto.Unmarshal(data, made)
}

// binary is the binary codec. A message whose type is not linked in has only unknown fields, and JSON would lose them.
type binary struct{}

// Name implements [connect.Codec].
func (binary) Name() string { return "proto" }

// Marshal implements [connect.Codec].
func (binary) Marshal(msg any) ([]byte, error) {
	m, ok := msg.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("onceconnect: a %T is no protobuf message", msg)
	}

	return proto.Marshal(m)
}

// Unmarshal implements [connect.Codec].
func (binary) Unmarshal(data []byte, msg any) error {
	m, ok := msg.(proto.Message)
	if !ok {
		return fmt.Errorf("onceconnect: a %T is no protobuf message", msg)
	}

	return proto.Unmarshal(data, m)
}

type resumedKey struct{}

// resumed marks the context of a call that an earlier process may have sent.
type resumed struct {
	written     time.Time
	unconfirmed bool
	taken       atomic.Bool // a Client has seen it
}

// option returns the call option that marks the call for package interceptor. The option fails a call that package interceptor does not
// protect.
func (r *resumed) option() grpc.CallOption {
	r.taken.Store(true)

	return calloption.Resumed{
		PerRPCCredsCallOption: grpc.PerRPCCredsCallOption{Creds: unprotected{}}, Written: r.written, Unconfirmed: r.unconfirmed,
	}
}

var errUnprotected = errors.New("onceconnect: Resume: the options have no Client that protects the method: use the options of the client " +
	"that the journal was written with")

// unprotected are credentials that fail a call.
type unprotected struct{}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (unprotected) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, errUnprotected
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (unprotected) RequireTransportSecurity() bool { return false }

// guard fails calls that no Client has seen. It is the innermost interceptor.
func guard() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if mark, ok := ctx.Value(resumedKey{}).(*resumed); ok && !mark.taken.Load() {
				return nil, errUnprotected
			}

			return next(ctx, req)
		}
	}
}
