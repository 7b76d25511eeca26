package oncegateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/onlyonce-go/onlyonce/internal/httprules"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// writeProblem is an error handler that writes problems.
func writeProblem(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	st, httpStatus := statusOf(err)
	members := problemOf(st, httpStatus)

	body, err := json.Marshal(members)
	if err != nil { // text and JSON alone are always valid
		body = []byte("{}")
	}

	h := w.Header()
	h.Del("Trailer")
	h.Del("Transfer-Encoding")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(httpStatus)

	_, _ = w.Write(body)
}

// problemOf returns the members of a problem.
func problemOf(st *status.Status, httpStatus int) map[string]any {
	p := &oncehttp.Problem{Status: httpStatus, Detail: st.Message()}

	if reason := reasonOf(st); reason != "" {
		info := new(errdetails.ErrorInfo)
		find(st, info)

		p.Type, p.Title, p.Reason, p.Metadata = httprules.Type(reason), httprules.Title(reason), reason, info.GetMetadata()
	}

	members := make(map[string]any)
	if text, err := json.Marshal(p); err == nil {
		_ = json.Unmarshal(text, &members)
	}

	members["code"] = code.Code(st.Code()).String() //nolint:gosec // codes are small

	var details []json.RawMessage

	for _, detail := range st.Proto().GetDetails() {
		if text, err := protojson.Marshal(detail); err == nil {
			details = append(details, text)
		}
	}

	if len(details) > 0 {
		members["details"] = details
	}

	return members
}
