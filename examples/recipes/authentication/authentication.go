// Package authentication contains a server whose callers have bearer tokens. Each caller has its own keys.
package authentication

import (
	"context"
	"errors"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

type callerKey struct{}

// NewServer returns a server with authentication in front of the kit. Authentication sees every call, including replays, and its refusals
// are never recorded. Verify returns the caller of a token.
func NewServer(engine *onlyonce.Engine, verify func(token string) (caller string, err error)) (*grpc.Server, error) {
	protect, err := interceptor.NewServer(engine, interceptor.ScopeFunc(caller))
	if err != nil {
		return nil, err
	}

	authenticate := func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err != nil {
			return nil, err
		}

		caller, err := verify(token)
		if err != nil {
			return nil, status.Error(codes.Unauthenticated, "the token is not valid")
		}

		return context.WithValue(ctx, callerKey{}, caller), nil
	}

	return grpc.NewServer(
		grpc.ChainUnaryInterceptor(auth.UnaryServerInterceptor(authenticate), protect.Unary),
		grpc.ChainStreamInterceptor(auth.StreamServerInterceptor(authenticate), protect.Stream),
	), nil
}

// caller returns the scope of a call. It returns an error for unauthenticated calls, so it never falls back to a shared scope.
func caller(ctx context.Context) (string, error) {
	caller, ok := ctx.Value(callerKey{}).(string)
	if !ok {
		return "", errors.New("authentication is missing in front of protect.Unary")
	}

	return caller, nil
}
