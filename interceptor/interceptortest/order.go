package interceptortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// rightOrder ends the text of every problem.
const rightOrder = "; the right order is grpc.ChainUnaryInterceptor(recovery, telemetry, authenticate, authorize, limit, timeout, " +
	"protect.Unary, validate), in one option"

// Caller is a client of a server in a check. The zero value sends no credentials.
type Caller struct {
	// Metadata is sent with every call. It has the credentials, for example.
	Metadata metadata.MD
	// Dial has options of the connection, such as transport credentials. The default is insecure credentials.
	Dial []grpc.DialOption
}

// CheckOrder checks the order of a server's interceptors. It reports every problem with its remedy. Pass a server with all its
// interceptors, protect.Unary included, which does not serve yet. CheckOrder adds its own service, serves in memory, makes calls, and stops
// the server.
//
// The owner is a caller that the server accepts. The stranger is a caller that authentication must refuse. Apart from the credentials the
// two must be equal: if the scope comes from metadata, give both the same scope. Do not check a server whose only authentication is its
// Scope, such as ScopeFromPeerURI: it has no interceptor to check.
//
// These are problems:
//   - The stranger is accepted, or protect.Unary answers it with an outcome, a record or a rejection.
//   - After the refusal of the stranger, the owner gets no outcome of its own with the same key.
//   - An interceptor behind protect.Unary calls the handler on another goroutine, as timeouts do that abandon their handler.
//   - The server has streams, and a stream with a key runs.
//
// The owner must be allowed to call [ProbeMethod], and [ProbeStreamMethod] if the server has streams. The calls leave a record in the
// server's store, and end with ctx.
func CheckOrder(ctx context.Context, server *grpc.Server, owner, stranger Caller) error {
	streams := hasStreams(server)
	p := new(probe)
	p.register(server)

	listener, served := bufconn.Listen(1<<20), make(chan struct{})

	go func() {
		defer close(served)

		_ = server.Serve(listener) // it ends when the server is stopped
	}()

	defer func() {
		server.Stop()
		<-served
	}()

	ours, err := owner.dial(listener)
	if err != nil {
		return fmt.Errorf("interceptortest: connecting the owner: %w", err)
	}
	defer ours.Close()

	theirs, err := stranger.dial(listener)
	if err != nil {
		return fmt.Errorf("interceptortest: connecting the stranger: %w", err)
	}
	defer theirs.Close()

	c := check{probe: p, key: onlyonce.NewKey(), owner: &client{owner, ours}, stranger: &client{stranger, theirs}}
	problems := c.unary(ctx)

	if streams {
		problems = append(problems, c.stream(ctx))
	}

	return errors.Join(problems...)
}

// hasStreams reports whether a server has streams of its own. gRPC's own services do not count.
func hasStreams(server *grpc.Server) bool {
	for name, service := range server.GetServiceInfo() {
		if !partOfGRPC(name) && slices.ContainsFunc(service.Methods, func(method grpc.MethodInfo) bool {
			return method.IsClientStream || method.IsServerStream
		}) {
			return true
		}
	}

	return false
}

func partOfGRPC(service string) bool {
	return slices.ContainsFunc([]string{"grpc.health.", "grpc.reflection.", "grpc.channelz."}, func(prefix string) bool {
		return strings.HasPrefix(service, prefix)
	})
}

// check is one check of a server.
type check struct {
	probe           *probe
	key             string
	owner, stranger *client
}

// unary makes unary calls of one key: the stranger's, the owner's, the stranger's again, the owner's again.
func (c *check) unary(ctx context.Context) []error {
	strange := judgeStranger(c.stranger.call(ctx, c.key))
	first := c.owner.call(ctx, c.key)

	var problems []error

	if strange != nil {
		problems = append(problems, strange)
	}

	if problem := judgeOwner(first, strange != nil); problem != nil {
		problems = append(problems, problem)
	}

	// An unprotected call has no call of package interceptor to compare with.
	if first.status != "" && c.probe.astray.Load() {
		problems = append(problems, errors.New("interceptortest: an interceptor behind protect.Unary calls the handler on another goroutine. "+
			"If it abandons this goroutine, as a timeout does, two handlers of one key run at the same time. Put it in front of "+
			"protect.Unary, or replace it with MaxRun"+rightOrder))
	}

	if len(problems) > 0 {
		return problems
	}

	if problem := judgeStranger(c.stranger.call(ctx, c.key)); problem != nil {
		return []error{problem}
	}

	if again := c.owner.call(ctx, c.key); again.status != onlyonce.StatusReplayed || c.probe.runs.Load() != 1 {
		return []error{fmt.Errorf("interceptortest: the owner called twice with one key: the handler ran %d times, and the second answer is %s: "+
			"find the interceptor that changes requests or keys", c.probe.runs.Load(), again)}
	}

	return nil
}

// stream opens a stream with a key.
func (c *check) stream(ctx context.Context) error {
	answer := c.owner.stream(ctx, c.key)

	switch {
	case c.probe.streams.Load() > 0:
		return errors.New("interceptortest: the server has streams, and a stream with a key runs unprotected: add " +
			"grpc.ChainStreamInterceptor(…, protect.Stream), which refuses it unless all methods ignore keys or are in shadow mode")
	case answer.status == "":
		return fmt.Errorf("interceptortest: the owner's stream was refused in front of protect.Stream, with %s: allow the owner to call %s "+
			"in this test", answer, ProbeStreamMethod)
	default:
		return nil
	}
}

// judgeStranger reports a problem with the answer to the stranger. An interceptor in front of protect.Unary must refuse the stranger.
func judgeStranger(a answer) error {
	switch {
	case a.status != "":
		return fmt.Errorf("interceptortest: protect.Unary answered the stranger, with %s, so authentication is behind it or missing. "+
			"A stranger then gets the recorded answers of others, and a refusal is recorded as the answer to the owner. Put "+
			"authentication in front of protect.Unary"+rightOrder, a)
	case a.err == nil:
		return errors.New("interceptortest: the stranger was accepted, and protect.Unary did not protect its call: use a stranger that " +
			"authentication must refuse, and add protect.Unary to the chain" + rightOrder)
	default:
		return nil
	}
}

// judgeOwner reports a problem with the first answer to the owner. It must be the answer to the first call of the key.
func judgeOwner(a answer, strangerServed bool) error {
	switch {
	case a.status == "" && a.err == nil:
		return errors.New("interceptortest: the owner's call ran unprotected: add protect.Unary to the chain, with a policy that does not " +
			"ignore the keys of all methods, and without shadow mode for all methods" + rightOrder)
	case a.status == "":
		return fmt.Errorf("interceptortest: the owner was refused in front of protect.Unary, with %s: use an owner that the server "+
			"accepts, and allow it to call %s in this test", a, ProbeMethod)
	case a.status == onlyonce.StatusExecuted && a.err == nil:
		return nil
	case strangerServed && (a.status == onlyonce.StatusReplayed || a.status == onlyonce.StatusUnknown):
		return fmt.Errorf("interceptortest: the stranger's call left a record: the owner, with the same key, got %s: put authentication "+
			"in front of protect.Unary", a)
	default:
		return fmt.Errorf("interceptortest: the owner got %s, want an outcome of its own: use a policy that accepts the keys of "+
			"onlyonce.NewKey, and a scope that accepts the owner", a)
	}
}

// client is a caller with its connection.
type client struct {
	Caller

	conn *grpc.ClientConn
}

func (c *Caller) dial(listener *bufconn.Listener) (*grpc.ClientConn, error) {
	dialer := func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	opts := slices.Concat(
		[]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, c.Dial, []grpc.DialOption{grpc.WithContextDialer(dialer)},
	)

	return grpc.NewClient("passthrough:///localhost", opts...)
}

// outgoing returns the context of a call with a key.
func (c *client) outgoing(ctx context.Context, key string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Join(c.Metadata, metadata.Pairs(interceptor.KeyHeader, key)))
}

func (c *client) call(ctx context.Context, key string) answer {
	var trailer metadata.MD

	err := c.conn.Invoke(c.outgoing(ctx, key), ProbeMethod, new(emptypb.Empty), new(emptypb.Empty), grpc.Trailer(&trailer))

	return answerOf(trailer, err)
}

func (c *client) stream(ctx context.Context, key string) answer {
	ctx, cancel := context.WithCancel(c.outgoing(ctx, key))
	defer cancel()

	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, ProbeStreamMethod)
	if err != nil {
		return answer{err: err}
	}

	if err = stream.RecvMsg(new(emptypb.Empty)); errors.Is(err, io.EOF) {
		err = nil
	}

	return answerOf(stream.Trailer(), err)
}

// answer is the result of a call.
type answer struct {
	status onlyonce.Status // empty if package interceptor has not answered
	err    error
}

func answerOf(trailer metadata.MD, err error) answer {
	a := answer{err: err}
	if values := trailer.Get(interceptor.StatusTrailer); len(values) > 0 {
		a.status = onlyonce.Status(values[0])
	}

	return a
}

// String names the answer in a problem.
func (a answer) String() string {
	text := "OK"
	if a.err != nil {
		text = a.err.Error()
	}

	if a.status != "" {
		text = fmt.Sprintf("%s %s (%s)", interceptor.StatusTrailer, a.status, text)
	}

	return text
}
