package onceconnect

import (
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	spb "google.golang.org/genproto/googleapis/rpc/status"
)

// This file converts connect-go's errors to gRPC's statuses and back. Both have the same codes, by number.

// typeURLPrefix is the prefix that connect-go removes from the type of a detail.
const typeURLPrefix = "type.googleapis.com/"

// coded is an error with a *connect.Error in its tree. Package interceptor reads its gRPC status.
type coded struct {
	err error // as the handler or the call returned it
	of  *connect.Error
}

// asCoded returns a coded error if err has a *connect.Error in its tree, and otherwise err.
func asCoded(err error) error {
	of, ok := errors.AsType[*connect.Error](err)
	if !ok || of == nil {
		return err
	}

	return &coded{err: err, of: of}
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// GRPCStatus returns the status that connect-go would send for the error.
func (c *coded) GRPCStatus() *status.Status {
	st := &spb.Status{Code: int32(c.of.Code()), Message: c.of.Message()} //nolint:gosec // a code is small
	for _, detail := range c.of.Details() {
		st.Details = append(st.Details, &anypb.Any{TypeUrl: typeURLPrefix + detail.Type(), Value: detail.Bytes()})
	}

	return status.FromProto(st)
}

// described is an error whose text is the message of a status.
type described struct {
	message string
	cause   error
}

func (d *described) Error() string { return d.message }
func (d *described) Unwrap() error { return d.cause }

// statusError returns a gRPC status as an error of connect-go that wraps cause. Received reports whether a server has sent the status.
func statusError(st *status.Status, message string, cause error, received bool) *connect.Error {
	made := connect.NewError
	if received {
		made = connect.NewWireError
	}

	code := connect.Code(st.Code())
	if st.Code() == codes.OK { // an error that says OK: connect-go has no such code
		code = connect.CodeUnknown
	}

	failed := made(code, &described{message: message, cause: cause})

	for _, detail := range st.Proto().GetDetails() {
		if made, err := connect.NewErrorDetail(detail); err == nil {
			failed.AddDetail(made)
		}
	}

	return failed
}
