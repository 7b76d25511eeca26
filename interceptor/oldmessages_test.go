package interceptor_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/oldbank"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

// oldMethod is a method as old code registers it. Requests and responses are of the types that its handler has.
func oldMethod[Req, Resp any](name string, handle func(ctx context.Context, req *Req) (*Resp, error)) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: name[strings.LastIndex(name, "/")+1:],
		Handler: func(_ any, ctx context.Context, decode func(any) error, protect grpc.UnaryServerInterceptor) (any, error) {
			req := new(Req)
			if err := decode(req); err != nil {
				return nil, err
			}

			return protect(ctx, req, &grpc.UnaryServerInfo{FullMethod: name}, func(ctx context.Context, req any) (any, error) {
				own, _ := req.(*Req)

				return handle(ctx, own)
			})
		},
	}
}

// oldCodec encodes messages with their own methods, if they have any, as the codecs of gogo/protobuf do. gRPC's own codec panics on
// custom types.
type oldCodec struct{}

func (oldCodec) Name() string { return "proto" }

func (oldCodec) Marshal(v any) ([]byte, error) {
	if own, ok := v.(interface{ Marshal() ([]byte, error) }); ok {
		return own.Marshal()
	}

	old, _ := v.(protoadapt.MessageV1)

	return proto.Marshal(protoadapt.MessageV2Of(old))
}

func (oldCodec) Unmarshal(data []byte, v any) error {
	if own, ok := v.(interface{ Unmarshal(data []byte) error }); ok {
		return own.Unmarshal(data)
	}

	old, _ := v.(protoadapt.MessageV1)

	return proto.Unmarshal(data, protoadapt.MessageV2Of(old))
}

// oldBank is a server whose messages have no ProtoReflect.
type oldBank struct {
	*world

	runs   atomic.Int64
	pay    func(req *oldbank.PayRequest) error
	answer []string // the types of the answers, as an outer interceptor sees them
}

func startOldBank(t *testing.T, s setup) *oldBank {
	t.Helper()

	b := new(oldBank)
	pay := func(_ context.Context, req *oldbank.PayRequest) (*oldbank.PayResponse, error) {
		run := b.runs.Add(1)

		if b.pay != nil {
			if err := b.pay(req); err != nil {
				return nil, err
			}
		}

		return &oldbank.PayResponse{Receipt: fmt.Sprintf("%s, run %d", req.Account, run)}, nil
	}

	s.before = append(s.before, func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		resp, err := handler(ctx, req)
		b.answer = append(b.answer, fmt.Sprintf("%T", resp))

		return resp, err
	})
	s.register = func(server *grpc.Server) {
		server.RegisterService(&grpc.ServiceDesc{ServiceName: oldbank.ServiceName, Methods: []grpc.MethodDesc{
			oldMethod(oldbank.Pay, pay),
			oldMethod(oldbank.PayCustom, func(context.Context, *oldbank.Custom) (*oldbank.PayResponse, error) {
				b.runs.Add(1)

				return &oldbank.PayResponse{}, nil
			}),
			oldMethod(oldbank.AnswerPanic, func(context.Context, *oldbank.PayRequest) (*oldbank.Nested, error) {
				b.runs.Add(1)

				return &oldbank.Nested{}, nil
			}),
			oldMethod(oldbank.Late, func(_ context.Context, req *oldbank.LateRequest) (*oldbank.PayResponse, error) {
				b.runs.Add(1)

				return &oldbank.PayResponse{Receipt: req.Account}, nil
			}),
		}}, nil)
	}

	b.world = start(t, s, nil)

	return b
}

// callOld makes a call with old messages.
func callOld[Resp any](ctx context.Context, conn grpc.ClientConnInterface, method string, req any) (*Resp, answer) {
	var a answer

	resp := new(Resp)
	a.err = conn.Invoke(ctx, method, req, resp, grpc.Header(&a.header), grpc.Trailer(&a.trailer))

	return resp, a
}

func TestF81_MessagesWithoutProtoReflectAreProtected(t *testing.T) {
	b := startOldBank(t, setup{})
	order := func(key, note string, amount int64) *oldbank.PayRequest {
		return &oldbank.PayRequest{RequestId: key, Account: "alice", Lines: []*oldbank.Line{{Amount: amount}}, Note: note}
	}

	for i, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		resp, a := callOld[oldbank.PayResponse](t.Context(), b.conn, oldbank.Pay, order("key", fmt.Sprintf("attempt %d", i), 10))
		a.mustHaveStatus(t, want)

		if a.err != nil || resp.Receipt != "alice, run 1" {
			t.Errorf("%s: the answer is %v, %v", want, resp, a.err)
		}
	}

	_, a := callOld[oldbank.PayResponse](t.Context(), b.conn, oldbank.Pay, order("key", "", 11))
	a.mustBe(t, keyReused)

	_, a = callOld[oldbank.PayResponse](withKey(t.Context(), "other"), b.conn, oldbank.Pay, order("key", "", 10))
	a.mustBe(t, keyInvalid)

	if diff := cmp.Diff([]string{"*oldbank.PayResponse", "*oldbank.PayResponse", "<nil>", "<nil>"}, b.answer); diff != "" {
		t.Errorf("the types of the answers (-want +got):\n%s", diff)
	}

	if n := b.runs.Load(); n != 1 {
		t.Errorf("%d runs, want one", n)
	}
}

func TestF81_TheClientKnowsTheKeyFieldOfAMessageWithoutProtoReflect(t *testing.T) {
	b := startOldBank(t, setup{})

	dial, err := interceptor.DialOptions()
	if err != nil {
		t.Fatal(err)
	}

	conn := b.dial(t, dial...)

	for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		_, a := callOld[oldbank.PayResponse](t.Context(), conn, oldbank.Pay, &oldbank.PayRequest{RequestId: "key", Account: "alice"})
		a.mustHaveStatus(t, want)
	}
}

func TestF81_LaterLookupsGetTheOldMessage(t *testing.T) {
	t.Run("the next run of a single transaction, and the replay check", func(t *testing.T) {
		var checked []any

		made := exactly(onlyonce.SingleTransaction)
		made.server = append(made.server, interceptor.WithReplayCheck(func(_ context.Context, req any) error {
			checked = append(checked, req)

			return nil
		}))

		b := startOldBank(t, made)
		b.pay = func(req *oldbank.PayRequest) error {
			req.Account += "!"

			if b.runs.Load() < 3 {
				return txstore.ErrConflict
			}

			return nil
		}

		for range 2 {
			resp, a := callOld[oldbank.PayResponse](withKey(t.Context(), "key"), b.conn, oldbank.Pay, &oldbank.PayRequest{Account: "alice"})
			if a.err != nil || resp.Receipt != "alice!, run 3" {
				t.Errorf("the answer is %v, %v", resp, a.err)
			}
		}

		if len(checked) != 1 {
			t.Fatalf("the replay check was called with %v", checked)
		}

		if req, ok := checked[0].(*oldbank.PayRequest); !ok || req.Account != "alice" {
			t.Errorf("the replay check was called with %v", checked[0])
		}
	})

	t.Run("the recovery function", func(t *testing.T) {
		b := startOldBank(t, setup{server: keyPolicy(interceptor.Policy{
			Recover: func(_ context.Context, req proto.Message, _ onlyonce.Record) (onlyonce.Finding, error) {
				old, ok := protoadapt.MessageV1Of(req).(*oldbank.PayRequest)
				if !ok || old.Account != "alice" {
					t.Errorf("the recovery function was called with %v", req)
				}

				return interceptor.FindingOf(protoadapt.MessageV2Of(&oldbank.PayResponse{Receipt: "found"}), nil)
			},
		})})
		b.pay = func(*oldbank.PayRequest) error { return status.Error(codes.Internal, "oops") }

		_, a := callOld[oldbank.PayResponse](withKey(t.Context(), "key"), b.conn, oldbank.Pay, &oldbank.PayRequest{Account: "alice"})
		a.mustHaveStatus(t, onlyonce.StatusUnknown)

		resp, a := callOld[oldbank.PayResponse](withKey(t.Context(), "key"), b.conn, oldbank.Pay, &oldbank.PayRequest{Account: "alice"})
		if a.err != nil || resp.Receipt != "found" {
			t.Errorf("the answer is %v, %v", resp, a.err)
		}
	})
}

func TestF81_MessagesThatCannotBeRecordedAreNamedByValidateAndRefused(t *testing.T) {
	b := startOldBank(t, setup{options: []grpc.ServerOption{grpc.ForceServerCodec(oldCodec{})}})

	for method, call := range map[string]func(ctx context.Context) answer{
		oldbank.PayCustom: func(ctx context.Context) answer {
			_, a := callOld[oldbank.PayResponse](ctx, b.conn, oldbank.PayCustom, &oldbank.PayRequest{})

			return a
		},
		oldbank.AnswerPanic: func(ctx context.Context) answer {
			_, a := callOld[oldbank.PayRequest](ctx, b.conn, oldbank.AnswerPanic, &oldbank.PayRequest{})

			return a
		},
		oldbank.Late: func(ctx context.Context) answer {
			_, a := callOld[oldbank.PayResponse](ctx, b.conn, oldbank.Late, &oldbank.PayRequest{RequestId: "panic"})

			return a
		},
	} {
		before := b.runs.Load()

		call(withKey(t.Context(), "key")).mustBe(t, notSupported)

		if n := b.runs.Load(); n != before {
			t.Errorf("%s: the handler has run", method)
		}
	}

	services := registeredServices{oldbank.ServiceName: {Methods: []grpc.MethodInfo{
		{Name: "Pay"}, {Name: "PayCustom"}, {Name: "AnswerPanic"}, {Name: "Late"},
	}}}

	err := validate(services, b.engine)
	mustName(t, err, oldbank.PayCustom, "oldbank.v1.Custom", oldbank.AnswerPanic, "oldbank.v1.Nested", "KeyIgnored")

	if strings.Contains(err.Error(), oldbank.Pay+" ") {
		t.Errorf("Validate names a method that works: %v", err)
	}

	ignored := interceptor.Policy{Key: interceptor.KeyIgnored}

	err = validate(services, b.engine,
		interceptor.WithMethodPolicy(oldbank.PayCustom, ignored), interceptor.WithMethodPolicy(oldbank.AnswerPanic, ignored))
	if err != nil {
		t.Errorf("Validate: %v", err)
	}
}

func TestF81_ServicesWithoutADescriptorAreNamedByValidate(t *testing.T) {
	server := registeredServices{"onlyonce.test.Hidden": {Methods: []grpc.MethodInfo{{Name: "Call"}}}}
	mustName(t, validate(server, engine(t)), hiddenCall, "no registered descriptor", "KeyIgnored")
}

func TestF81_AnAnswerThatPanicsWhenItIsRecordedIsAmbiguous(t *testing.T) {
	protect, err := interceptor.NewServer(engine(t), interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	call := func() error {
		_, err := protect.Unary(incoming(t.Context(), interceptor.KeyHeader, "key"), &oldbank.PayRequest{},
			&grpc.UnaryServerInfo{FullMethod: oldbank.Pay}, func(context.Context, any) (any, error) {
				return &oldbank.LateRequest{Account: "panic"}, nil
			})

		return err
	}

	_ = call()

	if err := call(); status.Code(err) != codes.Unknown {
		t.Errorf("the duplicate got %v, want OUTCOME_UNKNOWN", err)
	}
}
