package wires_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
)

// op is a method of the service.
type op string

const (
	opPay      op = "Pay"
	opRefund   op = "Refund"
	opTransfer op = "Transfer" // also has the key in its request
	opOrder    op = "Order"    // also has the key in its request, as a UUID
	opBalance  op = "Balance"  // has no side effects
	opWatch    op = "Watch"    // streams
)

// fullMethod is the method's name on the wires of gRPC and Connect.
func (o op) fullMethod() string { return "/wires.v1.WireService/" + string(o) }

// path is the method's path on net/http and on gateways.
func (o op) path() string {
	return map[op]string{
		opPay: "/v1/payments", opRefund: "/v1/refunds", opTransfer: "/v1/transfers", opOrder: "/v1/orders", opBalance: "/v1/balance",
		opWatch: "/v1/watch",
	}[o]
}

// call is a call in a form that every wire can send.
type call struct {
	op     op // empty: Pay
	text   string
	keys   []string // in the metadata, or in the header
	field  string   // the key in the request
	sentAt string
	caller string            // who calls, for scopes that ask
	md     map[string]string // further metadata, or headers
}

func (c call) operation() op {
	if c.op == "" {
		return opPay
	}

	return c.op
}

// answer is the answer to a call, in a form that every wire can fill in. Names of metadata and headers are in lower case.
type answer struct {
	broken  error      // there is no answer: the connection has ended
	ok      bool       // a response, and no error
	code    codes.Code // on wires that have codes
	status  int        // of HTTP, on wires where clients see it
	text    string     // of the response
	message string     // of the error

	reason   string
	domain   string // of the ErrorInfo; empty on wires that have none
	facts    map[string]string
	field    string            // that a BadRequest names
	details  int               // how many details the error has
	asked    map[string]delay  // the delay in each form that carries it
	problem  map[string]string // members of a problem (RFC 9457); nil if the error is none
	header   map[string][]string
	trailer  map[string][]string
	hasFrame bool // the error came behind a separate header, so it is no trailers-only answer
}

type delay = time.Duration

// metadata are all values of a name.
func (a *answer) metadata(name string) []string {
	return append(append([]string(nil), a.header[name]...), a.trailer[name]...)
}

// form is how a wire answers.
type form uint8

const (
	formGRPC    form = iota // codes, details and trailers of gRPC
	formConnect             // codes and details, trailers as headers
	formGateway             // gRPC behind HTTP
	formHTTP                // bare HTTP
)

// hasCodes reports whether the handlers of a wire answer with codes of gRPC.
func (f form) hasCodes() bool { return f != formHTTP }

// showsCodes reports whether clients of a wire see codes and details.
func (f form) showsCodes() bool { return f == formGRPC || f == formConnect }

// wire is a protocol between a client and a server of the kit.
type wire struct {
	name           string
	server, client string // for the docs
	form           form
	inProcess      bool // there is no connection behind the gateway
	// start serves the service until the test ends, and returns a function that sends a call.
	start func(t *testing.T, srv *server) func(ctx context.Context, c call) answer
}

// wires are all of them, in the order of the docs.
func wires() []wire {
	return []wire{
		{
			name: "grpc-go", form: formGRPC, start: startGRPC,
			server: "`grpc.Server` with package `interceptor`", client: "grpc-go",
		},
		{
			name: "grpc-go under net/http", form: formGRPC, start: startGRPCUnderHTTP,
			server: "the same `grpc.Server` with `oncegateway.ServeGRPC`, over unencrypted HTTP/2", client: "grpc-go",
		},
		{
			name: "Connect", form: formConnect, start: startConnect,
			server: "connect-go with package `onceconnect`", client: "net/http, in the protocol of Connect with JSON, over HTTP/1.1",
		},
		{
			name: "gRPC on Connect", form: formGRPC, start: startConnectGRPC,
			server: "the same server, over unencrypted HTTP/2", client: "grpc-go",
		},
		{
			name: "gRPC-Web on Connect", form: formGRPC, start: startConnectWeb,
			server: "the same server", client: "net/http, in gRPC-Web, over HTTP/1.1",
		},
		{
			name: "gateway", form: formGateway, start: startGateway,
			server: "grpc-gateway with package `oncegateway` and `WithProblems`, in front of grpc-go", client: "net/http, over HTTP/1.1",
		},
		{
			name: "gateway in process", form: formGateway, inProcess: true, start: startGatewayInProcess,
			server: "the same in the process of the service, by `oncegateway.NewInProcess`", client: "net/http, over HTTP/1.1",
		},
		{
			name: "net/http", form: formHTTP, start: startHTTP,
			server: "`http.Server` with package `oncehttp`, over HTTP/1.1", client: "net/http",
		},
	}
}

// httpStatusOf is the contract's status of a reason, in the column "over HTTP".
func httpStatusOf(reason onlyonce.Reason) int {
	return map[onlyonce.Reason]int{
		onlyonce.ReasonKeyMissing: http.StatusBadRequest, onlyonce.ReasonNotSupported: http.StatusNotImplemented,
		onlyonce.ReasonKeyInvalid: http.StatusBadRequest, onlyonce.ReasonKeyReused: http.StatusUnprocessableEntity,
		onlyonce.ReasonKeyExpired: http.StatusUnprocessableEntity, onlyonce.ReasonInProgress: http.StatusConflict,
		onlyonce.ReasonLeaseLost: http.StatusConflict, onlyonce.ReasonOutcomeUnknown: http.StatusConflict,
		onlyonce.ReasonOutcomeNotStored: http.StatusConflict, onlyonce.ReasonStoreUnavailable: http.StatusServiceUnavailable,
		onlyonce.ReasonStoreFull: http.StatusTooManyRequests, onlyonce.ReasonScopeMissing: http.StatusUnauthorized,
		onlyonce.ReasonRecordUnreadable: http.StatusInternalServerError, onlyonce.ReasonRecordNewer: http.StatusServiceUnavailable,
	}[reason]
}
