package oncegateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Validate checks that a mux keeps the contract. It finds a mux without [Options], later options that undo them, and forward response
// options in front of them. Its error has every problem, with the remedy. Call it at start-up.
//
//   - Validate sends nothing. It gives the mux its own request and answers.
//   - It calls the error handlers of the mux with the message "a probe of oncegateway.Validate".
//   - It cannot see how services are registered: see [InProcess] and onlyonce.RequireRun.
//   - A nil mux is an error.
func Validate(mux *runtime.ServeMux) error {
	if mux == nil {
		return errors.New("oncegateway: Validate needs a mux")
	}

	return errors.Join(checkKey(mux), checkAnswer(mux), checkRejection(mux), checkStream(mux), checkBinary(mux))
}

// The key, the method and the message of the requests and answers of Validate.
const (
	probe        = "onlyonce-probe"
	probeMethod  = "/onlyonce.Probe/Probe"
	probeMessage = "a probe of oncegateway.Validate"
)

func newProbe() *http.Request {
	return &http.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: "localhost", Path: "/"}, Host: "localhost",
		Header: make(http.Header), Body: http.NoBody,
	}
}

// checkKey checks that a key and the number of an attempt become metadata.
func checkKey(mux *runtime.ServeMux) error {
	r := newProbe()
	r.Header.Set(oncehttp.KeyHeader, `"`+probe+`"`)
	r.Header.Set(oncehttp.AttemptHeader, "2")

	ctx, err := runtime.AnnotateContext(r.Context(), mux, r, probeMethod)
	if err != nil {
		return fmt.Errorf("oncegateway: the mux cannot make metadata of a request: %w", err)
	}

	md, _ := metadata.FromOutgoingContext(ctx)
	if keys := md.Get(interceptor.KeyHeader); !slices.Equal(keys, []string{probe}) {
		return fmt.Errorf("oncegateway: the mux makes the metadata %s %q of the header %s: \"%s\", so that calls are not protected: give "+
			"runtime.NewServeMux the options of oncegateway.Options, and your header matcher to oncegateway.WithIncomingHeaderMatcher",
			interceptor.KeyHeader, keys, oncehttp.KeyHeader, probe)
	}

	if attempts := md.Get(interceptor.AttemptHeader); !slices.Equal(attempts, []string{"2"}) {
		return fmt.Errorf("oncegateway: the mux makes the metadata %s %q of the header %s: 2, so that a retry without a key looks like a first "+
			"attempt: give your header matcher to oncegateway.WithIncomingHeaderMatcher and not to runtime.WithIncomingHeaderMatcher",
			interceptor.AttemptHeader, attempts, oncehttp.AttemptHeader)
	}

	return nil
}

// ofServer returns the context of an answer with a status.
func ofServer(ctx context.Context, said onlyonce.Status) context.Context {
	return runtime.NewServerMetadataContext(ctx, runtime.ServerMetadata{TrailerMD: metadata.Pairs(interceptor.StatusTrailer, string(said))})
}

// checkAnswer checks that an answer has its status. The option that sets it must come first: an earlier one could write the answer.
func checkAnswer(mux *runtime.ServeMux) error {
	w := &seen{header: make(http.Header)}

	if opts := mux.GetForwardResponseOptions(); len(opts) > 0 {
		_ = opts[0](ofServer(context.Background(), onlyonce.StatusExecuted), w, &emptypb.Empty{}) // setStatus does not fail
	}

	if w.header.Get(oncehttp.StatusHeader) != string(onlyonce.StatusExecuted) {
		return fmt.Errorf("oncegateway: the first forward response option of the mux does not set %s, so that clients may not see what became "+
			"of a call: put the options of oncegateway.Options before all other options of runtime.NewServeMux", oncehttp.StatusHeader)
	}

	return nil
}

// checkRejection checks that a rejection has its HTTP status and its headers.
func checkRejection(mux *runtime.ServeMux) error {
	w, r := &seen{header: make(http.Header)}, newProbe()
	_, m := runtime.MarshalerForRequest(mux, r)
	ctx := ofServer(r.Context(), onlyonce.StatusRejected)

	st, err := status.New(codes.Unavailable, probeMessage).WithDetails(
		&errdetails.ErrorInfo{Reason: string(onlyonce.ReasonInProgress), Domain: interceptor.Domain},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1)},
	)
	if err != nil {
		return fmt.Errorf("oncegateway: making a rejection: %w", err)
	}

	runtime.HTTPError(ctx, mux, m, w, r, st.Err())

	after, said := w.sent.Get("Retry-After"), w.sent.Get(oncehttp.StatusHeader)
	if w.status != http.StatusConflict || after != "1" || said != string(onlyonce.StatusRejected) {
		return fmt.Errorf("oncegateway: the mux answers the rejection %s with status %d, Retry-After %q and %s %q, and the contract says 409, "+
			"\"1\" and %q: give your error handler to oncegateway.WithErrorHandler and not to runtime.WithErrorHandler",
			onlyonce.ReasonInProgress, w.status, after, oncehttp.StatusHeader, said, onlyonce.StatusRejected)
	}

	return nil
}

// checkStream checks that the rejection of a stream has its status.
func checkStream(mux *runtime.ServeMux) error {
	w, r := &seen{header: make(http.Header)}, newProbe()
	_, m := runtime.MarshalerForRequest(mux, r)
	ctx := runtime.NewServerMetadataContext(withAnswer(r.Context(), w), runtime.ServerMetadata{})

	st, err := status.New(codes.Unimplemented, probeMessage).WithDetails(
		&errdetails.ErrorInfo{Reason: string(onlyonce.ReasonNotSupported), Domain: interceptor.Domain},
	)
	if err != nil {
		return fmt.Errorf("oncegateway: making a rejection: %w", err)
	}

	runtime.ForwardResponseStream(ctx, mux, m, w, r, func() (proto.Message, error) { return nil, st.Err() })

	if got := w.sent.Get(oncehttp.StatusHeader); got != string(onlyonce.StatusRejected) {
		return fmt.Errorf("oncegateway: the mux answers the rejection of a stream with %s %q, and the contract says %q: give your handler to "+
			"oncegateway.WithStreamErrorHandler and not to runtime.WithStreamErrorHandler", oncehttp.StatusHeader, got, onlyonce.StatusRejected)
	}

	return nil
}

// checkBinary checks that an answer has no binary metadata in its header or its trailers.
func checkBinary(mux *runtime.ServeMux) error {
	w, r := &seen{header: make(http.Header)}, newProbe()
	r.Header.Set("TE", "trailers")

	_, m := runtime.MarshalerForRequest(mux, r)
	binary := metadata.Pairs("grpc-status-details-bin", probe)
	ctx := runtime.NewServerMetadataContext(r.Context(), runtime.ServerMetadata{HeaderMD: binary, TrailerMD: binary})

	runtime.ForwardResponseMessage(ctx, mux, m, w, r, &emptypb.Empty{})

	for name, values := range w.header {
		if slices.Contains(values, probe) {
			return fmt.Errorf("oncegateway: the mux writes binary metadata into the header or trailer %s, so that HTTP clients cannot read "+
				"answers: give your matchers to oncegateway.WithOutgoingHeaderMatcher and oncegateway.WithOutgoingTrailerMatcher, and not to "+
				"runtime", name)
		}
	}

	return nil
}

// seen is a response writer that keeps the answer.
type seen struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

func (s *seen) Header() http.Header { return s.header }

func (s *seen) WriteHeader(code int) {
	if s.sent == nil {
		s.status, s.sent = code, s.header.Clone()
	}
}

func (s *seen) Write(p []byte) (int, error) {
	s.WriteHeader(http.StatusOK)

	return s.body.Write(p)
}
