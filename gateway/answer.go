package oncegateway

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// setStatus is a forward response option: it sets the headers of the contract in a successful answer.
func setStatus(ctx context.Context, w http.ResponseWriter, _ proto.Message) error {
	setContract(ctx, w.Header())

	return nil
}

// setContract sets the headers of the contract from the trailers of the server.
func setContract(ctx context.Context, h http.Header) {
	md, ok := runtime.ServerMetadataFromContext(ctx)
	if !ok {
		return // no server has answered
	}

	for name, trailer := range map[string]string{
		oncehttp.StatusHeader:     interceptor.StatusTrailer,
		oncehttp.ReplayedHeader:   interceptor.ReplayedHeader,
		oncehttp.ExecutedAtHeader: interceptor.ExecutedAtTrailer,
		oncehttp.RetentionHeader:  interceptor.RetentionTrailer,
	} {
		if value, ok := last(md.TrailerMD, trailer); ok {
			h.Set(name, value)
		}
	}
}

// mayHaveSucceeded reports whether the answer of the server may be a response, although the call has ended with an error. A replay with a
// response has ReplayedHeader in its header. For a first answer, these things show it:
//   - The code is one with which an interceptor in front of the kit ends a call that has taken too long.
//   - The response was too large for the server to send.
//   - The answer has a header, and the code is one with which a gRPC client fails a call that was answered. The response may have been too
//     large for the gateway's connection, or impossible to decode.
func mayHaveSucceeded(md runtime.ServerMetadata, st *status.Status) bool {
	if len(md.HeaderMD.Get(interceptor.ReplayedHeader)) > 0 {
		return true
	}

	if said, _ := last(md.TrailerMD, interceptor.StatusTrailer); onlyonce.Status(said) != onlyonce.StatusExecuted {
		return false
	}

	withHeader := len(md.HeaderMD.Get("content-type")) > 0 // only a connection adds this

	switch st.Code() {
	case codes.Canceled, codes.DeadlineExceeded:
		return true
	case codes.ResourceExhausted:
		return withHeader || tooLargeToSend(st.Message())
	case codes.Internal, codes.Unknown:
		return withHeader
	default:
		return false
	}
}

// tooLargeToSend reports whether a server sends RESOURCE_EXHAUSTED with this message because its response exceeds its limit: see
// grpc.MaxSendMsgSize and connect.WithSendMaxBytes. The kit has no other servers than those of grpc-go and connect-go.
func tooLargeToSend(message string) bool {
	texts := []string{"trying to send message larger than max (", "grpc: message too large (", " exceeds sendMaxBytes "}

	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(message, text) })
}

// setUnknown sets the headers of the contract for an error that does not show the recorded outcome. A client then keeps its key and counts
// the call as neither done nor failed.
func setUnknown(h http.Header) {
	switch onlyonce.Status(h.Get(oncehttp.StatusHeader)) { //nolint:exhaustive // the others are no final answers with an error
	case onlyonce.StatusExecuted, onlyonce.StatusReplayed:
		h.Set(oncehttp.StatusHeader, string(onlyonce.StatusUnknown))
		h.Del(oncehttp.ReplayedHeader)
		h.Del(oncehttp.ExecutedAtHeader)
	}
}

// last returns the last value of a name. The value of the interceptor comes after all others.
func last(md metadata.MD, name string) (string, bool) {
	values := md.Get(name)
	if len(values) == 0 {
		return "", false
	}

	return values[len(values)-1], true
}
