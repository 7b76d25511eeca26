package main

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// leastTest calls the least with one key.
type leastTest struct {
	*testing.T

	least *least
	runs  int
}

// call makes a call whose handler first runs the given function.
func (t *leastTest) call(req *pb.SimpleRequest, handler func() error) (any, error) {
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(interceptor.KeyHeader, "k"))

	return t.least.intercept(ctx, req, &grpc.UnaryServerInfo{FullMethod: unaryCall}, func(context.Context, any) (any, error) {
		t.runs++

		if err := handler(); err != nil {
			return nil, err
		}

		return &pb.SimpleResponse{Username: "Ann"}, nil
	})
}

func nothing() error { return nil }

func TestTheLeastReplaysTheResponse(t *testing.T) {
	test := leastTest{T: t, least: newLeast()}

	for range 3 {
		got, err := test.call(newRequest(), nothing)
		if err != nil {
			t.Fatal(err)
		}

		if msg, _ := got.(proto.Message); !proto.Equal(msg, &pb.SimpleResponse{Username: "Ann"}) {
			t.Errorf("the response is %v", got)
		}
	}

	if test.runs != 1 {
		t.Errorf("the handler has run %d times", test.runs)
	}
}

func TestTheLeastRefusesAnotherRequestAndADuplicateOfARunningCall(t *testing.T) {
	test := leastTest{T: t, least: newLeast()}

	_, err := test.call(newRequest(), func() error {
		if _, err := test.call(newRequest(), nothing); status.Code(err) != codes.Aborted {
			t.Errorf("a duplicate of a running call ends with %v", err)
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := test.call(&pb.SimpleRequest{ResponseSize: 1}, nothing); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("another request ends with %v", err)
	}

	if test.runs != 1 {
		t.Errorf("the handler has run %d times", test.runs)
	}
}

func TestTheLeastFreesTheKeyOfAHandlerThatFails(t *testing.T) {
	test := leastTest{T: t, least: newLeast()}
	failed := errors.New("failed")

	if _, err := test.call(newRequest(), func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("%v, want %v", err, failed)
	}

	if _, err := test.call(newRequest(), nothing); err != nil || test.runs != 2 {
		t.Errorf("the second call ends with %v after %d runs", err, test.runs)
	}
}
