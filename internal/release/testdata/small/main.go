// Command small is a service that needs the interceptor and a store in memory.
package main

import (
	"log"
	"net"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func main() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		log.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		log.Fatal(err)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	log.Fatal(grpc.NewServer(protect.ServerOptions()...).Serve(listener))
}
