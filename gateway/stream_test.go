package oncegateway_test

import (
	"net/http"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// refusing is a till whose streams end with an error.
type refusing struct {
	tillv1.TillServiceServer

	err error
}

func (r refusing) ListCharges(*tillv1.ListChargesRequest, grpc.ServerStreamingServer[tillv1.ListChargesResponse]) error {
	return r.err
}

// A server without the kit may pass on the rejection of another service. With a status, clients would retry the streams of this server.
func TestF58OnlyTheRejectionOfAStreamHasAStatus(t *testing.T) {
	for reason, said := range map[onlyonce.Reason]string{onlyonce.ReasonNotSupported: "rejected", onlyonce.ReasonInProgress: ""} {
		w := start(t, setup{unprotected: true}, nil)

		server := grpc.NewServer()
		tillv1.RegisterTillServiceServer(server, refusing{w.till, withDetails(codes.Unimplemented, "no",
			&errdetails.ErrorInfo{Reason: string(reason), Domain: interceptor.Domain})})
		w.register(tillv1.NewTillServiceClient(w.dial(w.listen(server).String())))

		r := w.request(t.Context(), charges, "order-1", "")
		r.Method, r.Body, r.ContentLength = http.MethodGet, http.NoBody, 0

		if a := w.send(r); a.header.Get(oncehttp.StatusHeader) != said || a.status != http.StatusNotImplemented {
			t.Errorf("%s: %d %v, want the status %q", reason, a.status, a.header, said)
		}
	}
}
