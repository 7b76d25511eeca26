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

// setContract makes headers of the trailers of the contract.
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

// mayHaveSucceeded reports whether the answer of the server may be a response, although the call has ended with an error of this code: the
// response is too large for the connection of the gateway, or cannot be decoded, or the call's time has ended while it came. A replay
// says in its header that it has a response. A first answer without a header has none.
func mayHaveSucceeded(md runtime.ServerMetadata, code codes.Code) bool {
	if len(md.HeaderMD.Get(interceptor.ReplayedHeader)) > 0 {
		return true
	}

	said, _ := last(md.TrailerMD, interceptor.StatusTrailer)
	if onlyonce.Status(said) != onlyonce.StatusExecuted || len(md.HeaderMD.Get("content-type")) == 0 { // only a connection adds this
		return false
	}

	switch code { // the client of gRPC makes no others of an answer that it has
	case codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal, codes.Unknown:
		return true
	default:
		return false
	}
}

// setUnknown makes the headers of the contract those of an error that tells nothing about the recorded outcome. A client keeps its key, and
// takes the call for neither done nor failed.
func setUnknown(h http.Header) {
	switch onlyonce.Status(h.Get(oncehttp.StatusHeader)) { //nolint:exhaustive // the others are no final answers with an error
	case onlyonce.StatusExecuted, onlyonce.StatusReplayed:
		h.Set(oncehttp.StatusHeader, string(onlyonce.StatusUnknown))
		h.Del(oncehttp.ReplayedHeader)
		h.Del(oncehttp.ExecutedAtHeader)
	}
}

// last returns the last value of a name: that of the interceptor, which comes after those of others.
func last(md metadata.MD, name string) (string, bool) {
	values := md.Get(name)
	if len(values) == 0 {
		return "", false
	}

	return values[len(values)-1], true
}
