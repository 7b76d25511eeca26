package interceptor_test

import (
	"bytes"
	"encoding/json"
	"log"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// logged is a line of the log.
type logged struct {
	Level  string `json:"level"`
	Msg    string `json:"msg"`
	Method string `json:"method"`
	Error  string `json:"error"`
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
}

// defaultLog returns the lines that the default logger gets while f runs.
func defaultLog(t *testing.T, f func()) []logged {
	t.Helper()

	var out bytes.Buffer

	before, writer, flags := slog.Default(), log.Writer(), log.Flags()

	slog.SetDefault(slog.New(slog.NewJSONHandler(&out, nil)))
	f()
	slog.SetDefault(before)
	log.SetOutput(writer) // slog.SetDefault also redirects package log, and does not restore it
	log.SetFlags(flags)

	var lines []logged

	for line := range bytes.Lines(out.Bytes()) {
		var l logged
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}

		lines = append(lines, l)
	}

	return lines
}

// unobserved is the interceptor of an engine without any option, called without a server.
func unobserved(t *testing.T, scope interceptor.Scope) grpc.UnaryServerInterceptor {
	t.Helper()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, scope)
	if err != nil {
		t.Fatal(err)
	}

	return protect.Unary
}

func TestF87_MisconfiguredMethodIsLoggedThoughNobodyObserves(t *testing.T) {
	declared := func(d declaration) string {
		_, service := d.register(t)

		return "/" + string(service.FullName()) + "/Pay"
	}

	for name, test := range map[string]struct {
		method string
		req    any
		code   codes.Code
		cause  string // with the remedy
	}{
		"a policy that cannot hold": {
			declared(declaration{method: method("lease { seconds: 60 }")}), payment(), codes.Internal, "give at least Lease, which is 1m0s",
		},
		"an annotation that cannot hold": {
			declared(declaration{request: str("a", 1, "key: true") + str("b", 2, "key: true")}), payment(), codes.Internal, "mark one of them",
		},
		"a guarantee that the store does not have": {
			declared(declaration{method: method("guarantee: GUARANTEE_EXACTLY_ONCE")}), payment(), codes.Internal, "use a store that",
		},
		"messages that are no protobuf": {
			unaryCall, "text", codes.Unimplemented, "only protobuf messages can be recorded",
		},
		"a service that is not registered": {
			"/unheard.of.Service/Pay", payment(), codes.Unimplemented, "only protobuf messages of a registered service can be recorded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			protect := unobserved(t, interceptor.ScopeShared())

			var err error

			lines := defaultLog(t, func() {
				_, err = protect(incoming(t.Context(), interceptor.KeyHeader, "key"), test.req, &grpc.UnaryServerInfo{FullMethod: test.method}, nil)
			})

			if st := status.Convert(err); st.Code() != test.code || strings.Contains(st.Message(), "rpc error") {
				t.Errorf("the caller got %v, want %v", err, test.code)
			}

			if len(lines) != 1 {
				t.Fatalf("%d lines, want one: %+v", len(lines), lines)
			}

			if l := lines[0]; l.Level != "WARN" || !strings.Contains(l.Msg, "misconfigured method") || l.Method != test.method ||
				!strings.Contains(l.Error+l.Cause, test.cause) || !strings.Contains(l.Remedy, "change what the error names") {
				t.Errorf("the line is %+v, want the method, and the cause with %q", l, test.cause)
			}
		})
	}
}

func TestF87_CallsThatAreRefusedForWhatTheySendAreNotLogged(t *testing.T) {
	mangled := &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Message: "\xff"}}

	for name, test := range map[string]struct {
		scope interceptor.Scope
		key   string
		req   any
		want  codes.Code
	}{
		"no scope":                 {interceptor.ScopeFromMetadata("x-tenant"), "key", payment(), codes.Unauthenticated},
		"a bad key":                {interceptor.ScopeShared(), "two words", payment(), codes.InvalidArgument},
		"a request without a form": {interceptor.ScopeShared(), "key", mangled, codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			protect := unobserved(t, test.scope)

			var err error

			lines := defaultLog(t, func() {
				_, err = protect(incoming(t.Context(), interceptor.KeyHeader, test.key), test.req, &grpc.UnaryServerInfo{FullMethod: unaryCall}, nil)
			})

			if status.Code(err) != test.want {
				t.Errorf("the caller got %v, want %v", err, test.want)
			}

			if len(lines) != 0 {
				t.Errorf("logged: %+v", lines)
			}
		})
	}
}

// The .proto of a method is misconfigured. The caller learns that the fault is the server's. The server's log has the
// method, the cause and the remedy.
func TestF87_ServerLogsWhyItRefusesAMethodThatItsProtoMisconfigures(t *testing.T) {
	_, service := declaration{method: method("lease { seconds: 60 }")}.register(t)
	b := &declaredBank{service: service, pay: "/" + string(service.FullName()) + "/Pay"}
	b.world = start(t, setup{register: func(server *grpc.Server) { serveDeclared(server, service, counting(&b.runs)) }}, nil)

	var a answer

	lines := defaultLog(t, func() { _, a = b.call(withKey(t.Context(), "key"), b.conn) })

	a.mustHaveStatus(t, onlyonce.StatusRejected)

	if st := status.Convert(a.err); st.Code() != codes.Internal || !strings.Contains(st.Message(), "its logs have the reason") ||
		strings.Contains(st.Message(), "Lease") {
		t.Errorf("the caller got %v", a.err)
	}

	if len(lines) != 1 || lines[0].Method != b.pay || !strings.Contains(lines[0].Error, "give at least Lease, which is 1m0s") ||
		!strings.Contains(lines[0].Remedy, "change what the error names") {
		t.Errorf("the log has %+v, want the method, the cause and the remedy", lines)
	}

	b.mustHaveRun(t, 0)
}
