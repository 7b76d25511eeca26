package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped here
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// F77: a resolver gives a service config that retries. The first attempt is under way when its connection breaks, and a second one would
// be answered that nothing happened.
func TestF77_NativeRetriesAreOffForEveryKeyedCall(t *testing.T) {
	once := interceptor.WithRetry(retry.Policy{MaxAttempts: 1})

	for name, tt := range map[string]struct {
		dial []grpc.DialOption
		call []grpc.CallOption
	}{
		"WithoutRetry":                   {mustDial(t, interceptor.WithAllMethods()), []grpc.CallOption{interceptor.WithoutRetry()}},
		"a policy of one attempt":        {mustDial(t, interceptor.WithAllMethods(), once), nil},
		"a method that is not protected": {mustDial(t), []grpc.CallOption{interceptor.WithKey("key")}},
		"a buffer that the caller sets": {
			mustDial(t, interceptor.WithAllMethods(), once), []grpc.CallOption{grpc.MaxRetryRPCBufferSize(1 << 20)},
		},
		"a method that is not confirmed": {mustDial(t, interceptor.WithAllMethods()), nil},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &arrivals{}
			w := start(t, setup{unprotected: true, tcp: true, before: seen.before()}, nil)

			w.handle = func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				if len(seen.values(interceptor.KeyHeader)) > 1 {
					return unavailable().answer(ctx)
				}

				w.listener.cut()
				<-ctx.Done()

				return &pb.SimpleResponse{Username: "charged all the same"}, nil
			}

			resolved := manual.NewBuilderWithScheme("configured")
			resolved.BuildCallback = func(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) {
				resolved.InitialState(resolver.State{
					Addresses: []resolver.Address{{Addr: w.listener.Addr().String()}}, ServiceConfig: cc.ParseServiceConfig(nativeConfig),
				})
			}

			conn, err := grpc.NewClient("configured:///", append(tt.dial, grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithResolvers(resolved))...)
			if err != nil {
				t.Fatal(err)
			}

			defer conn.Close()

			a := callOn(t.Context(), conn, unaryCall, payment(), append(tt.call, grpc.WaitForReady(true))...)
			if got := onlyonce.VerdictOf(a.err); got != onlyonce.VerdictUnknown || status.Code(a.err) != codes.Unavailable {
				t.Errorf("the answer is %v, %v, verdict %v; the first attempt has charged", a.resp, a.err, got)
			}

			seen.mustBe(t, 1)
		})
	}
}

// merging is a codec that merges into its target, like some generated code.
type merging struct {
	encoding.CodecV2

	decoded chan struct{}
}

func (merging) Name() string { return "merging" }

func (c merging) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("a reply of type %T", v)
	}

	err := proto.UnmarshalOptions{Merge: true}.Unmarshal(data.Materialize(), m)
	c.decoded <- struct{}{}

	return err
}

// F78: the connection breaks when the client has the response of the first attempt and not its trailers.
func TestF78_RetryFillsAnEmptyReply(t *testing.T) {
	decoded := make(chan struct{}, 10)
	attempts := int32(0)

	// The first call confirms the method. The second loses the trailers of its first attempt.
	handle := func(_ any, stream grpc.ServerStream) error {
		attempts++

		if err := stream.RecvMsg(new(pb.StreamingOutputCallRequest)); err != nil {
			return err
		}

		stream.SetTrailer(metadata.Pairs(interceptor.StatusTrailer, "executed"))

		return stream.SendMsg(&pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: attempts}}})
	}

	var w *world

	w = start(t, setup{unprotected: true, tcp: true, options: []grpc.ServerOption{grpc.UnknownServiceHandler(handle), grpc.StreamInterceptor(
		func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			err := handler(srv, stream)

			<-decoded

			if attempts == 2 {
				w.listener.cut()
				<-stream.Context().Done()
			}

			return err
		})}}, nil)

	codec := merging{encoding.GetCodecV2("proto"), decoded}
	conn := w.clientConn(t, patiently())

	lines := func() []*pb.ResponseParameters {
		reply := &pb.StreamingOutputCallRequest{}
		if err := conn.Invoke(t.Context(), "/a.Service/Lines", payment(), reply, grpc.ForceCodecV2(codec), grpc.WaitForReady(true)); err != nil {
			t.Fatal(err)
		}

		return reply.GetResponseParameters()
	}

	lines()

	if got := lines(); len(got) != 1 || got[0].GetSize() != 3 || attempts != 3 {
		t.Errorf("the answer of attempt %d has the lines %v, want its own", attempts, got)
	}
}

// The caller's options collect the metadata of the last attempt, even if it has none. into is a reply that carries the
// codec's target.
type into struct{ target *pb.SimpleResponse }

type intoCodec struct{}

func (intoCodec) Name() string { return "proto" }

func (intoCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}

	return proto.Marshal(m)
}

func (intoCodec) Unmarshal(data []byte, v any) error {
	reply, ok := v.(*into)
	if !ok {
		return fmt.Errorf("%T has no target", v)
	}

	return proto.Unmarshal(data, reply.target)
}

// F78: a retry decodes to where the caller wants.
func TestF78_RetryKeepsTheTargetOfAReply(t *testing.T) {
	w := start(t, setup{unprotected: true}, scripted(unavailable(), paid()))
	resp := new(pb.SimpleResponse)

	err := w.clientConn(t, patiently()).Invoke(t.Context(), unaryCall, payment(), &into{resp}, grpc.ForceCodec(intoCodec{}))
	if err != nil || resp.GetUsername() != "paid" {
		t.Errorf("the answer is %v, %v", resp, err)
	}
}

func TestResultsOfAnEarlierAttemptAreRemoved(t *testing.T) {
	w := start(t, setup{tcp: true, unprotected: true}, scripted(unavailable()))

	var (
		header, trailer metadata.MD
		from            peer.Peer
		during          []int
	)

	conn := w.clientConn(t, interceptor.WithRetry(retry.Policy{MaxAttempts: 2}), interceptor.WithAttemptObserver(
		func(context.Context, interceptor.Attempt) {
			during = append(during, len(trailer))

			w.listener.Close()
			w.listener.cut()
		}))

	a := callOn(t.Context(), conn, unaryCall, payment(), grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&from))
	if status.Code(a.err) != codes.Unavailable || len(during) != 2 || during[0] == 0 {
		t.Fatalf("the answer is %v, %v, with %d trailers", a.resp, a.err, during)
	}

	if header != nil || trailer != nil || from.Addr != nil {
		t.Errorf("the attempt that had no connection has left %v, %v, %v", header, trailer, from.Addr)
	}
}

// A server declares a shorter retention than the client's. No attempt begins after it, less the tolerance.
func TestF29_ClientObeysTheShorterRetention(t *testing.T) {
	for name, tt := range map[string]struct {
		declared   []string
		configured time.Duration
		delay      time.Duration
		want       int
	}{
		"an hour, in time":                  {[]string{"3600"}, 0, 50 * time.Minute, 2},
		"an hour, too late":                 {[]string{"3600"}, 0, 50*time.Minute + 1, 1},
		"ten minutes, as often as fits":     {[]string{"600"}, 0, 2 * time.Minute, 3},
		"a week does not stretch a day":     {[]string{"604800"}, 0, 23*time.Hour + 50*time.Minute + 1, 1},
		"nor an hour that is configured":    {[]string{"604800"}, time.Hour, 50*time.Minute + 1, 1},
		"nothing declared":                  {nil, 0, 23*time.Hour + 50*time.Minute, 2},
		"nonsense is ignored":               {[]string{"soon"}, 0, 23 * time.Hour, 2},
		"a negative one is nonsense":        {[]string{"-1"}, 0, 23 * time.Hour, 2},
		"several are nonsense":              {[]string{"600", "600"}, 0, 23 * time.Hour, 2},
		"less than a second is declared 0":  {[]string{"0"}, 0, time.Second, 1},
		"the shorter of two that are short": {[]string{"600"}, time.Hour, 5*time.Minute + 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opts []interceptor.ClientOption
				if tt.configured != 0 {
					opts = append(opts, interceptor.WithRetention(tt.configured))
				}

				waiting := inProgressTurn(tt.delay)
				waiting.retention = tt.declared

				seen, a := play(t, []turn{waiting}, opts, interceptor.WithCallRetry(retry.Policy{MaxAttempts: 20}))
				seen.mustBe(t, tt.want)
				mustBeInProgress(t, a.err)
			})
		})
	}
}

// The client remembers the shortest retention that was declared, for later calls of the method on the connection.
func TestF29_DeclaredRetentionHoldsForLaterCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := paid()
		short.retention = []string{"600"}

		policy := interceptor.WithRetry(retry.Policy{MaxAttempts: 1_000_000, BaseDelay: 7 * time.Second, MaxDelay: 7 * time.Second})
		w := start(t, setup{unprotected: true}, nil)
		conn := w.clientConn(t, policy)

		// takes returns for how long the client retries while a proxy answers everything with UNAVAILABLE.
		takes := func(method string, conn *grpc.ClientConn) time.Duration {
			w.handle = scripted(turn{code: codes.Unavailable})
			began := time.Now()

			callOn(t.Context(), conn, method, payment(), interceptor.WithCallRetry(retry.Policy{MaxElapsed: time.Hour}))

			return time.Since(began)
		}

		answer := func(method string, conn *grpc.ClientConn, next turn) {
			w.handle = scripted(next)
			callOn(t.Context(), conn, method, payment())
		}

		mustTake := func(what string, got, least, most time.Duration) {
			t.Helper()

			if got < least || got > most {
				t.Errorf("%s: retries for %v, want %v at most", what, got, most)
			}
		}

		answer(unaryCall, conn, short)
		mustTake("declared", takes(unaryCall, conn), 4*time.Minute, 5*time.Minute)

		answer(cacheableCall, conn, paid())
		mustTake("another method", takes(cacheableCall, conn), 50*time.Minute, time.Hour)

		other := w.clientConn(t, policy)
		answer(unaryCall, other, paid())
		mustTake("another connection", takes(unaryCall, other), 50*time.Minute, time.Hour)

		mustTake("the first again", takes(unaryCall, conn), 4*time.Minute, 5*time.Minute)

		answer(unaryCall, conn, turn{code: codes.NotFound, status: "executed", retention: []string{"60"}})
		mustTake("recorded errors have a retention of their own", takes(unaryCall, conn), 4*time.Minute, 5*time.Minute)

		// Another replica, or another configuration, declares nothing. The records of the first one still expire early.
		answer(unaryCall, conn, paid())
		mustTake("no longer declared", takes(unaryCall, conn), 4*time.Minute, 5*time.Minute)

		shorter := paid()
		shorter.retention = []string{"60"}

		answer(unaryCall, conn, shorter)
		answer(unaryCall, conn, short)
		mustTake("a longer one is declared", takes(unaryCall, conn), 20*time.Second, 30*time.Second)
	})
}

// An attempt may begin in time and then wait for a connection. It is not sent if the wait lasts too long.
func TestF29_AttemptIsNotSentAfterTheDeclaredRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := turn{code: codes.Unavailable, status: "unknown", retention: []string{"600"}}
		w := start(t, setup{unprotected: true}, nil)
		w.handle = scripted(short)

		// The server stops after the first attempt.
		conn := w.clientConn(t, interceptor.WithAttemptObserver(func(context.Context, interceptor.Attempt) {
			w.listener.Close()
			w.listener.cut()
		}))

		began := time.Now()
		a := callOn(t.Context(), conn, unaryCall, payment(), grpc.WaitForReady(true), interceptor.WithCallRetry(retry.Policy{
			BaseDelay: time.Second, MaxDelay: time.Second,
		}))

		if took := time.Since(began); status.Code(a.err) != codes.DeadlineExceeded || took != 7*time.Minute+30*time.Second {
			t.Errorf("the answer is %v after %v, want %v after three quarters of the retention", a.err, took, codes.DeadlineExceeded)
		}

		w.mustHaveRun(t, 1)
	})
}

// The server declares the retention of its policy, and the client, which is configured with the default, obeys.
func TestF29_ClientObeysTheRetentionOfTheServersPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{
			before: seen.before(), server: policy(onlyonce.Policy{Retention: 20 * time.Minute, MaxWait: onlyonce.NoWait, MaxRun: 20 * time.Minute}),
		}, after(19*time.Minute, answering("paid")))

		first := w.payInBackground(t)
		seconds := interceptor.WithCallRetry(retry.Policy{MaxAttempts: 1_000_000, BaseDelay: time.Second, MaxDelay: time.Second})

		synctest.Wait()

		began := time.Now()
		a := callOn(t.Context(), w.clientConn(t), unaryCall, payment(), interceptor.WithKey("key"), seconds)

		if took := time.Since(began); took < 9*time.Minute || took > 10*time.Minute || !errors.Is(a.err, onlyonce.ReasonInProgress) {
			t.Errorf("the answer after %v is %v, want IN_PROGRESS within half of the retention", took, a.err)
		}

		<-first
	})
}
