// Package gateway serves JSON over HTTP with grpc-gateway, in front of a protected service in the same process.
package gateway

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// NewHandler returns the handler. Its calls go through the interceptor. Do not use RegisterPaymentServiceHandlerServer: it bypasses the
// interceptor, so each retry would pay again.
func NewHandler(ctx context.Context, protect *interceptor.Server, payments recipesv1.PaymentServiceServer) (http.Handler, error) {
	channel := oncegateway.NewInProcess(protect)
	recipesv1.RegisterPaymentServiceServer(channel, payments)

	if err := protect.Validate(channel); err != nil { //nolint:contextcheck // it reads declarations
		return nil, err
	}

	mux := runtime.NewServeMux(oncegateway.Options(oncegateway.WithProblems())...)

	if err := recipesv1.RegisterPaymentServiceHandlerClient(ctx, mux, recipesv1.NewPaymentServiceClient(channel)); err != nil {
		return nil, err
	}

	return mux, oncegateway.Validate(mux) //nolint:contextcheck // it reads options
}
