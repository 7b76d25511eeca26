package oncegateway

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

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

// last returns the last value of a name: that of the interceptor, which comes after those of others.
func last(md metadata.MD, name string) (string, bool) {
	values := md.Get(name)
	if len(values) == 0 {
		return "", false
	}

	return values[len(values)-1], true
}
