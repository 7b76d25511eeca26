package oncegateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/onlyonce-go/onlyonce/internal/httprules"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// writeProblem is an error handler that writes problems. Like that of grpc-gateway, it passes on the metadata of the server.
func (c *config) writeProblem(
	ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error,
) {
	st, httpStatus := statusOf(err)
	members := problemOf(st, httpStatus)

	body, err := json.Marshal(members)
	if err != nil { // not reached: all members are text or valid JSON
		body = []byte("{}")
	}

	h := w.Header()
	h.Del("Trailer")
	h.Del("Transfer-Encoding")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	c.passMetadata(ctx, h, r)
	w.WriteHeader(httpStatus)

	_, _ = w.Write(body)
}

// passMetadata passes on the metadata of the server. A client gets trailers only if it accepts them.
func (c *config) passMetadata(ctx context.Context, h http.Header, r *http.Request) {
	md, ok := runtime.ServerMetadataFromContext(ctx)
	if !ok {
		return // no server has answered
	}

	add(h, "", md.HeaderMD, withoutContract(c.outgoing))

	if !strings.Contains(strings.ToLower(r.Header.Get("TE")), "trailers") {
		return
	}

	if add(h, http.TrailerPrefix, md.TrailerMD, withoutContract(c.trailers)) {
		h.Del("Content-Length") // an answer with a length has no trailers
	}
}

// add adds metadata to a header, under names with a prefix. It reports whether it has added any.
func add(h http.Header, prefix string, md metadata.MD, match runtime.HeaderMatcherFunc) (some bool) {
	for name, values := range md {
		if as, ok := match(name); ok {
			some = true

			for _, value := range values {
				h.Add(prefix+as, value)
			}
		}
	}

	return some
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
