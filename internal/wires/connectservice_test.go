package wires_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	"github.com/onlyonce-go/onlyonce/interceptor"
	wiresv1 "github.com/onlyonce-go/onlyonce/internal/wires/proto/wires/v1"
)

// serveConnect serves the service on connect-go, and returns its address.
func serveConnect(t *testing.T, srv *server) string {
	t.Helper()

	scope, opts := srv.grpcOptions()

	protect, err := interceptor.NewServer(srv.engine, scope, opts...)
	if err != nil {
		t.Fatal(err)
	}

	intercept := connect.WithInterceptors(connect.UnaryInterceptorFunc(connectRecovery))
	if !srv.plain {
		intercept = connect.WithInterceptors(connect.UnaryInterceptorFunc(connectRecovery), onceconnect.NewServer(protect))
	}

	mux := http.NewServeMux()

	handle(mux, srv, opPay, func(text string) *wiresv1.PayResponse { return &wiresv1.PayResponse{Text: text} },
		func(r *wiresv1.PayRequest) string { return r.GetText() }, intercept)
	handle(mux, srv, opRefund, func(text string) *wiresv1.RefundResponse { return &wiresv1.RefundResponse{Text: text} },
		func(r *wiresv1.RefundRequest) string { return r.GetText() }, intercept)
	handle(mux, srv, opTransfer, func(text string) *wiresv1.TransferResponse { return &wiresv1.TransferResponse{Text: text} },
		func(r *wiresv1.TransferRequest) string { return r.GetText() }, intercept)
	handle(mux, srv, opOrder, func(text string) *wiresv1.OrderResponse { return &wiresv1.OrderResponse{Text: text} },
		func(r *wiresv1.OrderRequest) string { return r.GetText() }, intercept)
	handle(mux, srv, opBalance, func(text string) *wiresv1.BalanceResponse { return &wiresv1.BalanceResponse{Text: text} },
		func(r *wiresv1.BalanceRequest) string { return r.GetText() }, intercept, connect.WithIdempotency(connect.IdempotencyNoSideEffects))

	mux.Handle(opWatch.fullMethod(), connect.NewServerStreamHandler(opWatch.fullMethod(),
		func(ctx context.Context, req *connect.Request[wiresv1.WatchRequest], stream *connect.ServerStream[wiresv1.WatchResponse]) error {
			res := srv.handle(ctx, request{opWatch, req.Msg.GetText()})

			return stream.Send(&wiresv1.WatchResponse{Text: res.text})
		}, connect.WithSchema(schema(opWatch)), intercept))

	return srv.serveHTTP(t, onceconnect.Handler(mux))
}

func schema(o op) protoreflect.MethodDescriptor {
	return wiresv1.File_wires_v1_wires_proto.Services().ByName("WireService").Methods().ByName(protoreflect.Name(o))
}

// handle adds a method to a server of connect-go, as generated code does.
func handle[Req, Resp any](
	mux *http.ServeMux, srv *server, o op, respond func(text string) *Resp, text func(*Req) string, opts ...connect.HandlerOption,
) {
	opts = append(opts, connect.WithSchema(schema(o)))

	mux.Handle(o.fullMethod(), connect.NewUnaryHandler(o.fullMethod(),
		func(ctx context.Context, req *connect.Request[Req]) (*connect.Response[Resp], error) {
			res := srv.handle(ctx, request{o, text(req.Msg)})
			if res.code != codes.OK {
				return nil, marked(res, res.connectError())
			}

			resp := connect.NewResponse(respond(res.text))
			for name, value := range res.header {
				resp.Header().Set(name, value)
			}

			for name, value := range res.trailer {
				resp.Trailer().Set(name, value)
			}

			return resp, nil
		}, opts...))
}

// connectError is the error of a result as an error of connect-go.
func (r *result) connectError() error {
	err := connect.NewError(connect.Code(r.code), errors.New(r.message))

	for _, md := range []map[string]string{r.header, r.trailer} {
		for name, value := range md {
			err.Meta().Set(name, value)
		}
	}

	for _, unknown := range r.proto().GetDetails() {
		if detail, problem := connect.NewErrorDetail(unknown); problem == nil {
			err.AddDetail(detail)
		}
	}

	return err
}

// connectRecovery is the interceptor that every server with panicking handlers has.
func connectRecovery(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (resp connect.AnyResponse, err error) {
		defer func() {
			if recover() != nil {
				err = connect.NewError(connect.CodeInternal, errors.New("the handler panicked"))
			}
		}()

		return next(ctx, req)
	}
}
