package oncegateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/headerkey"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// The import of errdetails links the types of error details. Without it, grpc-gateway answers every error with details with 500.

// handleError sets the headers of the contract and writes an error.
func (c *config) handleError(
	ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error,
) {
	st, code := statusOf(err)
	reason := reasonOf(st)

	if reason != "" {
		code = httprules.Status(reason)
	}

	st = headerkey.Explain(st, c.keysIn(r))

	// If setStatus has run, the server has answered with a response.
	succeeded := w.Header().Get(oncehttp.StatusHeader) != "" || optionFailed(err)

	setContract(ctx, w.Header())

	if md, ok := runtime.ServerMetadataFromContext(ctx); ok && (succeeded || mayHaveSucceeded(md, st.Code())) {
		setUnknown(w.Header())
	}

	if delay := retryDelayOf(st); delay > 0 {
		w.Header().Set("Retry-After", httprules.Seconds(delay))
	}

	c.onError(ctx, mux, m, w, r, &httpError{status: writable(m, st), code: code, reason: reason})
}

// optionFailed reports that an error is of a forward response option. grpc-gateway calls these options after the server has answered with a
// response. An option in front of setStatus may fail before setStatus has run.
func optionFailed(err error) bool {
	return errors.Unwrap(err) != nil && strings.HasPrefix(err.Error(), "error handling ForwardResponseOptions: ")
}

// statusOf returns the gRPC status and the HTTP status of an error.
func statusOf(err error) (*status.Status, int) {
	chosen, isChosen := errors.AsType[*runtime.HTTPStatusError](err)
	if isChosen {
		err = chosen.Err
	}

	if errors.Is(err, onlyonce.ErrUnprotected) { // of a handler in this process
		err = status.Error(codes.FailedPrecondition, onlyonce.ErrUnprotected.Error())
	}

	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}

	switch {
	case isChosen:
		return st, chosen.HTTPStatus
	case st.Code() == codes.FailedPrecondition && strings.Contains(st.Message(), onlyonce.ErrUnprotected.Error()):
		return st, http.StatusInternalServerError // the server must change, and not the client
	default:
		return st, runtime.HTTPStatusFromCode(st.Code())
	}
}

// httpError is an error with its HTTP status. It is a gRPC status and a *runtime.HTTPStatusError.
type httpError struct {
	status *status.Status
	code   int
	reason onlyonce.Reason
}

func (e *httpError) Error() string              { return e.status.String() } // status.Err is nil if the code is OK
func (e *httpError) GRPCStatus() *status.Status { return e.status }

// As lets errors.As find a *runtime.HTTPStatusError, which the error handlers of grpc-gateway read.
func (e *httpError) As(target any) bool {
	if t, ok := target.(**runtime.HTTPStatusError); ok {
		*t = &runtime.HTTPStatusError{HTTPStatus: e.code, Err: e.status.Err()}

		return true
	}

	return false
}

// reasonOf returns the reason of a rejection of the contract. It is empty for every other error, also for one that a handler passes on.
func reasonOf(st *status.Status) onlyonce.Reason {
	info := new(errdetails.ErrorInfo)
	if find(st, info) && info.GetDomain() == interceptor.Domain {
		return onlyonce.Reason(info.GetReason())
	}

	return ""
}

// retryDelayOf returns the delay in the RetryInfo of an error; 0 if there is none.
func retryDelayOf(st *status.Status) time.Duration {
	info := new(errdetails.RetryInfo)
	if find(st, info) {
		return info.GetRetryDelay().AsDuration() // bounds what is out of range; nil is 0
	}

	return 0
}

// find reads the first detail of the type of detail into detail, and reports whether it has.
func find(st *status.Status, detail proto.Message) bool {
	for _, packed := range st.Proto().GetDetails() {
		if packed.MessageIs(detail) {
			return packed.UnmarshalTo(detail) == nil
		}
	}

	return false
}

// writable returns a status without the parts that the marshaler cannot write: details whose types are not linked, and bytes of the message
// that are not UTF-8. A server of gRPC replaces such bytes, and a handler in this process does not.
func writable(m runtime.Marshaler, st *status.Status) *status.Status {
	whole := st.Proto()
	if _, err := m.Marshal(whole); err == nil || whole == nil {
		return st
	}

	whole.Message = strings.ToValidUTF8(whole.GetMessage(), "\uFFFD")
	kept := whole.GetDetails()[:0]

	for _, detail := range whole.GetDetails() {
		if _, err := m.Marshal(&spb.Status{Details: append(kept[:0:0], detail)}); err == nil {
			kept = append(kept, detail)
		}
	}

	whole.Details = kept

	return status.FromProto(whole)
}
