package oncegateway

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
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
// response has ReplayedHeader in its header. Only the code shows it for a first answer: something between the handler and the gateway can
// have made an error with such a code. The rule is that of the client interceptor.
func mayHaveSucceeded(md runtime.ServerMetadata, code codes.Code) bool {
	if len(md.HeaderMD.Get(interceptor.ReplayedHeader)) > 0 {
		return true
	}

	if said, _ := last(md.TrailerMD, interceptor.StatusTrailer); onlyonce.Status(said) != onlyonce.StatusExecuted {
		return false
	}

	switch code { // the others are errors of a handler
	case codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal, codes.Unknown:
		return true
	default:
		return false
	}
}

// setUnknown sets the headers of the contract for an error that does not show the recorded outcome. A client then keeps its key and counts
// the call as neither done nor failed.
func setUnknown(h http.Header) {
	if isRecorded(onlyonce.Status(h.Get(oncehttp.StatusHeader))) {
		h.Set(oncehttp.StatusHeader, string(onlyonce.StatusUnknown))
		h.Del(oncehttp.ReplayedHeader)
		h.Del(oncehttp.ExecutedAtHeader)
	}
}

// withUnknown returns trailers of the kit with the changes of setUnknown.
func withUnknown(trailer metadata.MD) metadata.MD {
	if said, _ := last(trailer, interceptor.StatusTrailer); !isRecorded(onlyonce.Status(said)) {
		return trailer
	}

	trailer = metadata.Join(trailer, metadata.Pairs(interceptor.StatusTrailer, string(onlyonce.StatusUnknown)))
	delete(trailer, interceptor.ReplayedHeader)
	delete(trailer, interceptor.ExecutedAtTrailer)

	return trailer
}

// isRecorded reports whether a status shows that the outcome of a call is recorded.
func isRecorded(said onlyonce.Status) bool {
	return said == onlyonce.StatusExecuted || said == onlyonce.StatusReplayed
}

// last returns the last value of a name. The value of the interceptor comes after all others.
func last(md metadata.MD, name string) (string, bool) {
	values := md.Get(name)
	if len(values) == 0 {
		return "", false
	}

	return values[len(values)-1], true
}
