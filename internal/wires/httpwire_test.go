package wires_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Metadata that handlers set.
const (
	handlerHeader  = "X-Receipt"
	handlerTrailer = "X-Total"
)

func silent() *log.Logger { return log.New(io.Discard, "", 0) }

func lower[M ~map[string][]string](md M) map[string][]string {
	made := make(map[string][]string, len(md))
	for name, values := range md {
		made[strings.ToLower(name)] = values
	}

	return made
}

func noCaller(*http.Request) (string, error) { return "", errNobody }

func httpForbidden(*http.Request) error {
	return &oncehttp.Problem{Status: http.StatusForbidden, Detail: "not yours any more"}
}

// body is a request or a response of net/http, as gateways write it.
type body struct {
	Text      string `json:"text,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	SentAt    string `json:"sentAt,omitempty"`
}

// httpHandler is a handler of net/http.
func (s *server) httpHandler(o op) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in body

		if r.Method == http.MethodPost {
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)

				return
			}
		}

		s.write(w, s.handle(r.Context(), request{o, in.Text}), r, o)
	}
}

func (s *server) write(w http.ResponseWriter, res result, r *http.Request, o op) {
	if res.marked && res.class == onlyonce.ClassNotExecuted {
		oncehttp.NotExecuted(r.Context())
	} else if res.marked {
		oncehttp.Final(r.Context())
	}

	for name, value := range res.header {
		w.Header().Set(name, value)
	}

	for name, value := range res.trailer {
		w.Header().Set(http.TrailerPrefix+name, value)
	}

	if res.passed {
		w.Header().Set(oncehttp.StatusHeader, string(onlyonce.StatusRejected))
	}

	w.Header().Set("Content-Type", "application/json")

	status, out := http.StatusOK, body{Text: res.text}
	if res.code != codes.OK || res.status != 0 {
		status, out.Text = res.httpStatus(), res.message
	}

	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) //nolint:errchkjson // the client may have gone

	if o == opWatch {
		_ = http.NewResponseController(w).Flush()
	}
}

// httpStatus is the status of an error on net/http.
func (r *result) httpStatus() int {
	if r.status != 0 {
		return r.status
	}

	switch r.code {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

func startHTTP(t *testing.T, srv *server) func(context.Context, call) answer {
	t.Helper()

	return dialHTTP(t, serveNetHTTP(t, srv))
}

// serveNetHTTP serves the service on net/http, and returns its address.
func serveNetHTTP(t *testing.T, srv *server) string {
	t.Helper()

	scope, opts := srv.httpOptions()

	protect, err := oncehttp.Middleware(srv.engine, scope, opts...)
	if err != nil {
		t.Fatal(err)
	}

	mux := http.NewServeMux()
	for _, o := range []op{opPay, opRefund, opTransfer, opOrder, opWatch} {
		mux.Handle("POST "+o.path(), srv.httpHandler(o))
	}

	mux.Handle("GET "+opBalance.path(), srv.httpHandler(opBalance))

	protected := protect(mux)
	if srv.plain {
		protected = mux
	}

	recovering := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && !isAbort(p) {
				http.Error(w, "the handler panicked", http.StatusInternalServerError)
			} else if p != nil {
				panic(p)
			}
		}()

		protected.ServeHTTP(w, r)
	})

	return srv.serveHTTP(t, recovering)
}

func isAbort(p any) bool {
	err, ok := p.(error)

	return ok && errors.Is(err, http.ErrAbortHandler)
}

// newHTTPClient is a client that follows nothing.
func newHTTPClient(t *testing.T) *http.Client {
	t.Helper()

	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)

	return &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dialHTTP is a client of net/http and of gateways.
func dialHTTP(t *testing.T, addr string) func(context.Context, call) answer {
	t.Helper()

	client := newHTTPClient(t)

	return func(ctx context.Context, c call) answer {
		r, err := httpRequest(ctx, addr, c)
		if err != nil {
			return answer{broken: err}
		}

		resp, err := client.Do(r)
		if err != nil {
			return answer{broken: err}
		}
		defer resp.Body.Close()

		return readHTTP(resp)
	}
}

func httpRequest(ctx context.Context, addr string, c call) (*http.Request, error) {
	method, content := http.MethodPost, []byte(nil)

	if c.operation() == opBalance {
		method = http.MethodGet
	} else {
		var err error
		if content, err = json.Marshal(body{c.text, c.field, c.sentAt}); err != nil {
			return nil, err
		}
	}

	r, err := http.NewRequestWithContext(ctx, method, "http://"+addr+c.operation().path(), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}

	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("TE", "trailers")
	c.addTo(r.Header)

	return r, nil
}

// readHTTP reads an answer of net/http or of a gateway.
func readHTTP(resp *http.Response) answer {
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{broken: err}
	}

	a := answer{
		ok: resp.StatusCode < http.StatusMultipleChoices, status: resp.StatusCode, header: lower(resp.Header), trailer: lower(resp.Trailer),
	}

	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		a.asks("Retry-After", time.Duration(seconds)*time.Second)
	}

	var members map[string]any

	_ = json.Unmarshal(content, &members)

	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		a.takeProblem(members)

		return a
	}

	if inner, ok := members["error"].(map[string]any); ok { // an error of a stream, in the form of grpc-gateway
		members = inner
		a.takeGatewayError(inner)
	}

	text, _ := members["text"].(string)
	if text == "" {
		text, _ = members["message"].(string) // an error of a gateway
	}

	if text == "" && members == nil {
		text = string(content)
	}

	if a.ok {
		a.text = text
	} else {
		a.message = text
	}

	return a
}

// takeGatewayError reads the ErrorInfo of an error in the form of grpc-gateway.
func (a *answer) takeGatewayError(members map[string]any) {
	details, _ := members["details"].([]any)
	for _, one := range details {
		if detail, ok := one.(map[string]any); ok && detail["reason"] != nil {
			a.reason, a.domain = fmt.Sprint(detail["reason"]), fmt.Sprint(detail["domain"])
		}
	}
}

// takeProblem reads the members of a problem.
func (a *answer) takeProblem(members map[string]any) {
	a.problem = make(map[string]string)

	for name, value := range members {
		a.problem[name] = fmt.Sprint(value)
	}

	a.message, a.reason = a.problem["detail"], a.problem["reason"]
	a.facts = a.problem
}
