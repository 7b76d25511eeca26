package interceptortest_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/interceptor/interceptortest"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A test of a server's interceptors, in the wrong order and in the right one.
func ExampleCheckOrder() {
	owner := interceptortest.Caller{Metadata: metadata.Pairs("authorization", "Bearer ann")}
	stranger := interceptortest.Caller{}

	for _, newServer := range []func(*interceptor.Server) *grpc.Server{
		func(protect *interceptor.Server) *grpc.Server {
			return grpc.NewServer(append(protect.ServerOptions(), grpc.ChainUnaryInterceptor(authentication))...)
		},
		func(protect *interceptor.Server) *grpc.Server {
			return grpc.NewServer(grpc.ChainUnaryInterceptor(authentication, protect.Unary))
		},
	} {
		engine, err := onlyonce.New(memstore.New())
		if err != nil {
			log.Fatal(err)
		}

		protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
		if err != nil {
			log.Fatal(err)
		}

		err = interceptortest.CheckOrder(context.Background(), newServer(protect), owner, stranger)
		if err == nil {
			fmt.Println("the order is right")

			continue
		}

		for problem := range strings.SplitSeq(err.Error(), "\n") {
			what, _, _ := strings.Cut(problem, ",")
			fmt.Println(what)
		}
	}

	// Output:
	// interceptortest: protect.Unary answered the stranger
	// interceptortest: the stranger's call left a record: the owner
	// the order is right
}
