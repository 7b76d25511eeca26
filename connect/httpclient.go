package onceconnect

import (
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
)

// HTTPClient wraps the HTTP client of a connect-go client that has the [Client] interceptor. The wrapper stops empty requests that
// connect-go sends by mistake:
//
//	payments := paymentsv1connect.NewPaymentServiceClient(onceconnect.HTTPClient(http.DefaultClient), url, connect.WithInterceptors(client))
//
// connect-go refuses a request that it cannot encode, or that exceeds connect.WithSendMaxBytes. In its place, connect-go sends a request
// without a body. Over the Connect protocol, this is a valid request with no field set, and the server runs it under the key. HTTPClient
// does not send such a request, and the call has VerdictNotExecuted. Without HTTPClient, the call has VerdictUnknown.
//
// All other requests pass unchanged. Nil means http.DefaultClient.
func HTTPClient(of connect.HTTPClient) connect.HTTPClient {
	if of == nil {
		of = http.DefaultClient
	}

	return &httpClient{of: of}
}

type httpClient struct{ of connect.HTTPClient }

var errEmptied = errors.New("onceconnect: the request was not sent, because connect-go could not encode it or it exceeds WithSendMaxBytes")

// Do implements [connect.HTTPClient].
func (c *httpClient) Do(req *http.Request) (*http.Response, error) {
	made, ok := req.Context().Value(attemptKey{}).(*attempt)
	if !ok || !made.isOf(req) {
		return c.of.Do(req) // the client's own error
	}

	if emptied(req, made.Any()) {
		made.refused.Store(true)

		return nil, errEmptied
	}

	made.refused.Store(false) // an interceptor may send an attempt several times

	return c.of.Do(req) // the client's own error
}

// emptied reports whether a request has no body although its message is not empty.
func emptied(req *http.Request, msg any) bool {
	m, ok := msg.(proto.Message)

	return ok && req.Method == http.MethodPost && req.ContentLength == 0 && (req.Body == nil || req.Body == http.NoBody) && proto.Size(m) > 0
}

// isOf reports whether an HTTP request is one of the attempt. An interceptor may make other calls in the context of the attempt.
func (a *attempt) isOf(req *http.Request) bool {
	return req.URL.Host == a.Peer().Addr && strings.HasSuffix(req.URL.Path, a.Spec().Procedure)
}
