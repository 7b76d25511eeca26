package interceptor

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/fingerprint"
	"github.com/onlyonce-go/onlyonce/journal"
)

// This file has everything of the package that depends on gRPC codes, statuses and their details.

// Domain is the domain of the google.rpc.ErrorInfo in every rejection. The reason of the ErrorInfo is an onlyonce.Reason. An error with
// this domain is always about the call that it answers, never about a call that the handler has made: see [DownstreamDomain]. See
// https://google.aip.dev/193.
const Domain = "onlyonce"

// DownstreamDomain replaces Domain in the rejection of another service that a handler passes on.
const DownstreamDomain = "onlyonce.downstream"

const (
	okName = "OK"
	okCode = codes.OK
)

// codeOf returns the contract's code for a reason.
func codeOf(reason onlyonce.Reason) codes.Code {
	switch reason {
	case onlyonce.ReasonKeyMissing, onlyonce.ReasonKeyInvalid:
		return codes.InvalidArgument
	case onlyonce.ReasonKeyReused, onlyonce.ReasonKeyExpired:
		return codes.FailedPrecondition
	case onlyonce.ReasonInProgress, onlyonce.ReasonLeaseLost, onlyonce.ReasonStoreUnavailable, onlyonce.ReasonRecordNewer:
		return codes.Unavailable
	case onlyonce.ReasonOutcomeUnknown, onlyonce.ReasonOutcomeNotStored:
		return codes.Unknown
	case onlyonce.ReasonStoreFull:
		return codes.ResourceExhausted
	case onlyonce.ReasonScopeMissing:
		return codes.Unauthenticated
	case onlyonce.ReasonRecordUnreadable:
		return codes.DataLoss
	case onlyonce.ReasonNotSupported:
		return codes.Unimplemented
	default:
		return codes.Internal
	}
}

// retriedByClient reports whether the client interceptor retries after a rejection. It does not retry after an unknown outcome, which must
// be settled first.
func retriedByClient(reason onlyonce.Reason) bool {
	switch reason {
	case onlyonce.ReasonInProgress, onlyonce.ReasonLeaseLost, onlyonce.ReasonStoreUnavailable, onlyonce.ReasonStoreFull,
		onlyonce.ReasonRecordNewer:
		return true
	case onlyonce.ReasonKeyMissing, onlyonce.ReasonNotSupported, onlyonce.ReasonKeyInvalid, onlyonce.ReasonKeyReused,
		onlyonce.ReasonKeyExpired, onlyonce.ReasonOutcomeUnknown, onlyonce.ReasonOutcomeNotStored, onlyonce.ReasonScopeMissing,
		onlyonce.ReasonRecordUnreadable:
		return false
	default:
		return false
	}
}

// waitsForAnother reports whether the rejected call only waits for the run of another call. Such a rejection is no sign of an overloaded
// server.
func waitsForAnother(reason onlyonce.Reason) bool {
	return reason == onlyonce.ReasonInProgress || reason == onlyonce.ReasonLeaseLost
}

// defaultClass returns the contract's class for a code.
func defaultClass(code codes.Code) onlyonce.Class {
	switch code {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange,
		codes.PermissionDenied, codes.Unauthenticated:
		return onlyonce.ClassDefinite
	case codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Unimplemented,
		codes.Internal, codes.Unavailable, codes.DataLoss:
		return onlyonce.ClassAmbiguous
	default:
		return onlyonce.ClassAmbiguous
	}
}

// codeOfNumber returns the error code with a number, as in a .proto. The second result is false if there is none.
func codeOfNumber(number int32) (codes.Code, bool) {
	if number <= int32(codes.OK) || number > int32(codes.Unauthenticated) {
		return codes.OK, false
	}

	return codes.Code(number), true
}

func isOK(code codes.Code) bool { return code == codes.OK }

// defaultRetryCodes are retried by default: see WithRetryCodes.
func defaultRetryCodes() []codes.Code { return []codes.Code{codes.Unavailable} }

// codeName returns the name of a code as the contract writes it, such as NOT_FOUND.
func codeName(code codes.Code) string {
	names := [...]string{
		okName, "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	if int(code) < len(names) {
		return names[code]
	}

	return code.String()
}

// CodeNamed returns the code with a name such as NOT_FOUND or OK, in upper case, as records have it. The second result is false if there is
// no such code.
func CodeNamed(name string) (codes.Code, bool) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if codeName(code) == name {
			return code, true
		}
	}

	return codes.OK, false
}

// statusOf returns the status that grpc-go makes of a handler's error.
func statusOf(err error) *status.Status {
	if st, ok := status.FromError(err); ok {
		return st
	}

	return status.FromContextError(err)
}

// rejectionStatus converts a rejection to a gRPC status. An invalid key is in the named request field, or in the metadata if field is
// empty.
func rejectionStatus(r *onlyonce.Rejection, field string) *status.Status {
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: string(r.Reason), Domain: Domain, Metadata: r.Metadata},
	}

	if r.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(r.RetryAfter)})
	}

	if r.Reason == onlyonce.ReasonKeyInvalid || r.Reason == onlyonce.ReasonKeyMissing {
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: cmp.Or(field, KeyHeader), Description: r.Message, Reason: string(r.Reason)},
		}})
	}

	plain := status.New(codeOf(r.Reason), r.Message)

	st, err := plain.WithDetails(details...)
	if err != nil {
		return plain // not reached: these details can be encoded
	}

	return st
}

// pushback returns the trailer that makes native retries wait. It is nil if a retry is useless.
func pushback(r *onlyonce.Rejection) metadata.MD {
	if r.RetryAfter <= 0 {
		return nil
	}

	millis := int64(math.Ceil(float64(r.RetryAfter) / float64(time.Millisecond)))

	return pair(PushbackTrailer, strconv.FormatInt(millis, 10))
}

// errorInfo returns the first ErrorInfo of an onlyonce server in a status.
func errorInfo(st *status.Status) (*errdetails.ErrorInfo, bool) {
	for _, detail := range st.Proto().GetDetails() {
		if info, ok := onlyonceInfo(detail); ok {
			return info, true
		}
	}

	return nil, false
}

func onlyonceInfo(detail *anypb.Any) (*errdetails.ErrorInfo, bool) {
	if !detail.MessageIs((*errdetails.ErrorInfo)(nil)) {
		return nil, false
	}

	info := new(errdetails.ErrorInfo)
	if err := detail.UnmarshalTo(info); err != nil {
		return nil, false
	}

	return info, info.GetDomain() == Domain || info.GetDomain() == DownstreamDomain
}

// rejectionReason returns the reason in an error of the server that was called.
func rejectionReason(err error) (onlyonce.Reason, bool) {
	info, ok := errorInfo(statusOf(err))
	if !ok || info.GetDomain() != Domain {
		return "", false
	}

	return onlyonce.Reason(info.GetReason()), true
}

// relabelled returns the status with DownstreamDomain in place of Domain, and whether the status came from an onlyonce server. Details of
// other types are passed on byte for byte.
func relabelled(st *status.Status) (*status.Status, bool) {
	if st == nil || len(st.Proto().GetDetails()) == 0 {
		return st, false
	}

	found := false
	changed := st.Proto() // a copy

	for i, detail := range changed.GetDetails() {
		info, ok := onlyonceInfo(detail)
		if !ok {
			continue
		}

		found = true
		info.Domain = DownstreamDomain

		if data, err := proto.Marshal(info); err == nil {
			changed.Details[i] = &anypb.Any{TypeUrl: detail.GetTypeUrl(), Value: data}
		}
	}

	return status.FromProto(changed), found
}

// outward returns the error of a handler as it leaves the server. It removes the mark of package onlyonce, and changes the domain of a
// rejection by another service.
func outward(err error) error {
	err = onlyonce.Unmarked(err)

	if errors.Is(err, onlyonce.ErrUnprotected) { // the handler did nothing, and the program must change
		return status.Error(codes.FailedPrecondition, err.Error())
	}

	if st, downstream := relabelled(statusOf(err)); downstream {
		return st.Err()
	}

	return err
}

// retryDelay returns the delay that a server demands: its pushback, or else its RetryInfo. Given is false if it demands none. Stop is true
// if it forbids a retry.
func retryDelay(st *status.Status, trailer metadata.MD) (delay time.Duration, given, stop bool) {
	if values := trailer.Get(PushbackTrailer); len(values) > 0 {
		millis, err := strconv.ParseInt(values[0], 10, 32)
		if err != nil || millis < 0 || len(values) > 1 {
			return 0, true, true
		}

		return time.Duration(millis) * time.Millisecond, true, false
	}

	for _, detail := range st.Proto().GetDetails() {
		info := new(errdetails.RetryInfo)
		if !detail.MessageIs(info) || detail.UnmarshalTo(info) != nil {
			continue
		}

		if info.GetRetryDelay() != nil { // also one that is out of range: AsDuration bounds it
			return max(info.GetRetryDelay().AsDuration(), 0), true, false
		}
	}

	return 0, false, false
}

// madeOnTheWay reports whether an error of this code can replace a recorded answer that the server has sent with all its trailers. While
// grpc-go reads the answer on the client, the call's time may end, the response may be too large or not decodable, or an error without a
// status may occur (toRPCErr in rpc_util.go). An interceptor on either side may also replace the answer with an error without a status.
func madeOnTheWay(code codes.Code) bool {
	switch code {
	case codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal, codes.Unknown:
		return true
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange,
		codes.PermissionDenied, codes.Unauthenticated, codes.Aborted, codes.Unimplemented, codes.Unavailable, codes.DataLoss:
		return false
	default:
		return false
	}
}

// notEncoded reports whether err is grpc-go's error for a request that it cannot encode, or that is larger than the client may send (encode
// and compress in rpc_util.go, SendMsg in stream.go). A server returns the same error for a response.
func notEncoded(err error) bool {
	st := statusOf(err)

	var texts []string

	switch st.Code() {
	case codes.Internal:
		texts = []string{"grpc: error while marshaling: ", "grpc: error while compressing: "}
	case codes.ResourceExhausted:
		texts = []string{"trying to send message larger than max (", "grpc: message too large ("}
	default:
		return false
	}

	return slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(st.Message(), text) })
}

// unprocessed reports whether err is grpc-go's error for a request that reached no handler: the server refused the stream, or closed the
// connection to new streams (transport.go and handleRSTStream in http2_client.go). gRPC would retry such a call by itself if it buffered
// the request.
func unprocessed(err error) bool {
	st := statusOf(err)
	texts := []string{
		"the connection is draining", "the stream is rejected because server is draining the connection",
		"stream terminated by RST_STREAM with error code: REFUSED_STREAM",
	}

	return st.Code() == codes.Unavailable && slices.Contains(texts, st.Message())
}

// interrupted reports whether an attempt failed because its caller's context ended.
func interrupted(err error) bool {
	code := status.Code(err)

	return code == codes.Canceled || code == codes.DeadlineExceeded
}

// inFront reports whether an answer with this code may come from a proxy, from gRPC itself, or from an interceptor that authenticates or
// limits. Such an answer does not show whether the server protects the method.
func inFront(code codes.Code) bool {
	switch code {
	case codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Unavailable, codes.Unauthenticated, codes.PermissionDenied,
		codes.Unimplemented:
		return true
	case codes.OK, codes.Unknown, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted,
		codes.OutOfRange, codes.Internal, codes.DataLoss:
		return false
	default:
		return false
	}
}

// errDistrusted returns the error of a retry that is not sent, because its replica has not confirmed that it protects the method.
func errDistrusted(method, replica string) error {
	return status.Errorf(codes.Unavailable, "onlyonce: the retry of %s was not sent to %s, because this server has not confirmed that it "+
		"protects the method; deploy the kit on all servers first, then on the clients", method, replica)
}

// unsentStatus returns the status of a call without an attempt: its context had ended, or its retry policy is invalid.
func unsentStatus(ctx context.Context, err error) *status.Status {
	if gone := ctx.Err(); gone != nil {
		return status.FromContextError(gone)
	}

	return status.New(codes.InvalidArgument, err.Error())
}

// unwrittenStatus returns the status of a call that is not sent because its journal has failed.
func unwrittenStatus(ctx context.Context, err error) *status.Status {
	code := codes.Internal

	switch gone := ctx.Err(); {
	case gone != nil:
		return status.FromContextError(gone)
	case errors.Is(err, journal.ErrFull):
		code = codes.ResourceExhausted
	}

	return status.New(code, "onlyonce: the call is not sent, because it cannot be written to the journal: "+err.Error())
}

// errKeyless returns the error of a call that cannot be retried because it has no key.
func errKeyless(method string) error {
	return status.Errorf(codes.Internal, "onlyonce: calling %s: the call has no idempotency key, so it cannot be retried; put "+
		"UnaryClientKeyInterceptor in front of UnaryClientRetryInterceptor, or use DialOptions", method)
}

// errRetriedOutside returns the error of a retry by an interceptor in front of this one. The retry would get another key. The first attempt
// may have taken effect.
func errRetriedOutside(method string) error {
	st := status.New(codes.FailedPrecondition, "onlyonce: calling "+method+": a retry interceptor in front of this one makes the call again, "+
		"and each attempt would get another key; put the retry interceptor behind UnaryClientKeyInterceptor, or remove it and "+
		"use DialOptions, or give the call a key with WithKey")

	return &callError{err: st.Err(), status: st, outcome: onlyonce.VerdictUnknown}
}

// errDerive returns the error of a call in a run for which no key can be derived: the program must change. Nothing was sent, so the code is
// definite. A handler that returns the error leaves no unknown outcome.
func errDerive(method string, err error) error {
	st := status.New(codes.FailedPrecondition, "onlyonce: calling "+method+": "+err.Error())
	outcome := onlyonce.VerdictFinal // no key can be derived for this call

	if errors.Is(err, onlyonce.ErrStepUsed) {
		outcome = onlyonce.VerdictNotExecuted // a key can be derived for a call of another step
	}

	return &callError{err: err, status: st, outcome: outcome}
}

// errWrongResponse returns the answer for a handler whose response cannot be recorded. The handler has run.
func errWrongResponse(method string, msg any) error {
	return status.Errorf(codes.Internal, "onlyonce: the handler of %s returned a %T, which is not a protobuf message", method, msg)
}

// engineError returns the error for a caller if the engine fails, or if the request is invalid, without a rejection. The observer gets err
// itself, which is for operators.
func engineError(err error) error {
	if broken, ok := errors.AsType[*misconfigured](err); ok {
		err = broken.err
	}

	if _, ok := status.FromError(err); ok {
		return outward(err)
	}

	if errors.Is(err, fingerprint.ErrTooDeep) {
		return status.Errorf(codes.InvalidArgument, "onlyonce: the request nests messages more than %d deep, so its idempotency key "+
			"cannot be bound to it; nothing was executed; send a request with fewer levels", fingerprint.MaxDepth)
	}

	if errors.Is(err, onlyonce.ErrOwnKey) {
		return status.Error(codes.Internal, err.Error())
	}

	return status.Error(codes.Internal,
		"onlyonce: the server cannot serve this call under an idempotency key, and nothing was executed by it; its logs have the reason")
}
