package main

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

func dial(addr string, opts ...interceptor.ClientOption) (*grpc.ClientConn, error) {
	dialOpts, err := interceptor.DialOptions(opts...)
	if err != nil {
		return nil, fmt.Errorf("configuring the client: %w", err)
	}

	conn, err := grpc.NewClient(addr, append(dialOpts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}

	return conn, nil
}
