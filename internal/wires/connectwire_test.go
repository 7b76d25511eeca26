package wires_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func startConnectGRPC(t *testing.T, srv *server) func(context.Context, call) answer {
	t.Helper()

	return dialGRPC(t, serveConnect(t, srv))
}

// startConnect starts a client of the Connect protocol that shows the whole answer.
func startConnect(t *testing.T, srv *server) func(context.Context, call) answer {
	t.Helper()

	addr, client := serveConnect(t, srv), newHTTPClient(t)

	return func(ctx context.Context, c call) answer {
		r, err := connectRequest(ctx, addr, c)
		if err != nil {
			return answer{broken: err}
		}

		resp, content, err := send(client, r) //nolint:bodyclose // send closes it
		if err != nil {
			return answer{broken: err}
		}

		a := answer{ok: resp.StatusCode == http.StatusOK, status: resp.StatusCode}
		a.takeConnectHeader(resp.Header)

		_, into := messages(c)

		switch {
		case c.operation() == opWatch:
			a.takeConnectStream(content, into)
		case a.ok:
			err = protojson.Unmarshal(content, into)
			a.text = into.GetText()
		default:
			a.takeConnectError(content)
		}

		if err != nil {
			return answer{broken: err}
		}

		a.takePushback()

		return a
	}
}

// send sends a request, and reads the whole answer.
func send(client *http.Client, r *http.Request) (*http.Response, []byte, error) {
	resp, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()

	content, err := io.ReadAll(resp.Body)

	return resp, content, err
}

// connectRequest is a call in the protocol of Connect: https://connectrpc.com/docs/protocol.
func connectRequest(ctx context.Context, addr string, c call) (*http.Request, error) {
	msg, _ := messages(c)

	content, err := protojson.Marshal(msg)
	if err != nil {
		return nil, err
	}

	target, kind := "http://"+addr+c.operation().fullMethod(), "application/json"

	if c.operation() == opWatch {
		content, kind = envelope(0, content), "application/connect+json"
	}

	method := http.MethodPost
	if c.operation() == opBalance {
		method = http.MethodGet
		target += "?connect=v1&encoding=json&message=" + url.QueryEscape(string(content))
		content = nil
	}

	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}

	if method == http.MethodPost {
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Connect-Protocol-Version", "1")
	}

	c.addTo(r.Header)

	return r, nil
}

// addTo adds the metadata of a call to the header of its request.
func (c call) addTo(h http.Header) {
	for name, value := range c.md {
		h.Set(name, value)
	}

	for _, key := range c.keys {
		h.Add("Idempotency-Key", key)
	}

	if c.caller != "" {
		h.Set(callerName, c.caller) //nolint:canonicalheader // gRPC has it in lower case
	}
}

// envelope is a message of a stream.
func envelope(flags byte, content []byte) []byte {
	const head = 5

	made := make([]byte, head, head+len(content))
	made[0] = flags
	binary.BigEndian.PutUint32(made[1:], uint32(len(content)))

	return append(made, content...)
}

// frames calls a function for each message of a stream.
func frames(content []byte, each func(flags byte, content []byte)) {
	const head = 5

	for len(content) >= head {
		size := int(binary.BigEndian.Uint32(content[1:]))
		each(content[0], content[head:head+size])
		content = content[head+size:]
	}
}

// takeConnectHeader separates trailers, which are headers with a prefix.
func (a *answer) takeConnectHeader(h http.Header) {
	a.header, a.trailer = make(map[string][]string), make(map[string][]string)

	for name, values := range lower(h) {
		if trailer, ok := strings.CutPrefix(name, "trailer-"); ok {
			a.trailer[trailer] = values
		} else {
			a.header[name] = values
		}
	}
}

// takeConnectError reads an error in the form of Connect.
func (a *answer) takeConnectError(content []byte) {
	var e struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Details []struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"details"`
	}

	_ = json.Unmarshal(content, &e)

	st := &spb.Status{Message: e.Message}

	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if strings.EqualFold(codeName(code), strings.Replace(e.Code, "canceled", "cancelled", 1)) {
			st.Code = int32(code)
		}
	}

	for _, detail := range e.Details {
		value, _ := base64.RawStdEncoding.DecodeString(detail.Value)
		st.Details = append(st.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + detail.Type, Value: value})
	}

	a.takeStatus(st)
}

// takeConnectStream reads a stream of one response, or an error.
func (a *answer) takeConnectStream(content []byte, into texted) {
	const end = 2

	frames(content, func(flags byte, content []byte) {
		if flags&end == 0 {
			_ = protojson.Unmarshal(content, into)
			a.text = into.GetText()

			return
		}

		var last struct {
			Error    json.RawMessage     `json:"error"`
			Metadata map[string][]string `json:"metadata"`
		}

		_ = json.Unmarshal(content, &last)

		maps.Copy(a.trailer, lower(last.Metadata))

		if last.Error != nil {
			a.ok = false
			a.takeConnectError(last.Error)
		}
	})
}

func (a *answer) takePushback() {
	for _, value := range a.metadata("grpc-retry-pushback-ms") {
		if millis, err := strconv.Atoi(value); err == nil {
			a.asks("grpc-retry-pushback-ms", time.Duration(millis)*time.Millisecond)
		}
	}
}

// startConnectWeb starts a gRPC-Web client: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md.
func startConnectWeb(t *testing.T, srv *server) func(context.Context, call) answer {
	t.Helper()

	addr, client := serveConnect(t, srv), newHTTPClient(t)

	return func(ctx context.Context, c call) answer {
		msg, into := messages(c)

		content, err := proto.Marshal(msg)
		if err != nil {
			return answer{broken: err}
		}

		target := "http://" + addr + c.operation().fullMethod()

		r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(envelope(0, content)))
		if err != nil {
			return answer{broken: err}
		}

		r.Header.Set("Content-Type", "application/grpc-web+proto")
		c.addTo(r.Header)

		resp, content, err := send(client, r) //nolint:bodyclose // send closes it
		if err != nil {
			return answer{broken: err}
		}

		return readWeb(resp, content, into)
	}
}

// readWeb reads an answer of gRPC-Web.
func readWeb(resp *http.Response, content []byte, into texted) answer {
	const trailers = 0x80

	a := answer{header: lower(resp.Header), trailer: make(map[string][]string), hasFrame: true}

	if len(a.header["grpc-status"]) > 0 { // trailers only
		a.header, a.trailer, a.hasFrame = map[string][]string{}, a.header, false
	}

	frames(content, func(flags byte, content []byte) {
		if flags&trailers == 0 {
			_ = proto.Unmarshal(content, into)
			a.text = into.GetText()

			return
		}

		for line := range strings.SplitSeq(string(content), "\r\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				name = strings.ToLower(textproto.TrimString(name))
				a.trailer[name] = append(a.trailer[name], textproto.TrimString(value))
			}
		}
	})

	first := func(name string) string { return strings.Join(a.trailer[name], ",") }
	a.ok = first("grpc-status") == "0"

	if !a.ok {
		st := new(spb.Status)
		details, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(first("grpc-status-details-bin"), "="))
		_ = proto.Unmarshal(details, st)

		code, _ := strconv.Atoi(first("grpc-status"))
		st.Code = int32(code)

		if st.GetMessage() == "" {
			st.Message, _ = url.PathUnescape(first("grpc-message"))
		}

		a.takeStatus(st)
	}

	a.takePushback()

	return a
}
