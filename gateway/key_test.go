package oncegateway_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

func TestF35InvalidKeysAreRejectedAndNothingRuns(t *testing.T) {
	for name, s := range map[string]setup{"over a connection": {}, "in process": {inProcess: true}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, s, nil)

			for name, keys := range map[string][]string{
				"empty":              {""},
				"too long":           {strings.Repeat("a", 256)},
				"a space":            {"order 1"},
				"not ASCII":          {"órder"},
				"not UTF-8":          {"\xff"},
				"a tab":              {"a\tb"},
				"a quote not closed": {`"order-1`},
				"after the quote":    {`"order-1";v=1`},
				"a bad escape":       {`"order\-1"`},
				"an empty string":    {`""`},
				"several":            {"order-1", "order-1"},
				"many":               {"a", "b", "c"},
			} {
				t.Run(name, func(t *testing.T) {
					r := w.request(t.Context(), charges, "", payload)
					r.Header[oncehttp.KeyHeader] = keys

					w.send(r).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
				})
			}

			w.mustHaveRun(0)
		})
	}
}

// A header that Go's client would not send.
func TestF35RawBytesInAKeyAreRejected(t *testing.T) {
	w := start(t, setup{}, nil)

	base, err := url.Parse(w.gateway.URL)
	if err != nil {
		t.Fatal(err)
	}

	conn, err := net.Dial("tcp", base.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: till\r\nContent-Length: %d\r\nidempotency-key: \"a\x80b\"\r\nConnection: close\r\n\r\n%s",
		charges, len(payload), payload)

	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get(oncehttp.StatusHeader) != "rejected" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}

	w.mustHaveRun(0)
}

// The limit for metadata is that of other implementations of gRPC. A call that exceeds it fails without a reason.
func TestF35AKeyIsTooLongForTheServer(t *testing.T) {
	w := start(t, setup{server: []grpc.ServerOption{grpc.MaxHeaderListSize(8 << 10)}}, nil)

	for _, character := range []string{"k", "\x80"} {
		a := w.post(charges, strings.Repeat(character, 16<<10), payload).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
		if !strings.Contains(a.body, "length 16384") {
			t.Errorf("the body does not tell the length of the key: %s", a.body)
		}
	}

	w.mustHaveRun(0)
}

func TestARejectedKeyIsExplainedAsTheClientSentIt(t *testing.T) {
	w := start(t, setup{}, nil)

	a := w.post(charges, `"order-1`, payload).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
	if strings.Count(a.body, "closing quote") != 2 || strings.Contains(a.body, "position") {
		t.Errorf("the message and the violation do not both tell that the quote is not closed: %s", a.body)
	}
}

// A method that reads no keys does not judge them.
func TestKeysMeanNothingToMethodsThatIgnoreThem(t *testing.T) {
	w := start(t, setup{}, nil)

	r := w.request(t.Context(), "/v1/charges/7", `"broken`, "")
	r.Method, r.Body, r.ContentLength = http.MethodGet, http.NoBody, 0
	w.send(r).mustBe("", http.StatusOK)
}

func TestAKeyInTheBodyIsTheSameKey(t *testing.T) {
	w := start(t, setup{}, nil)

	first := w.post(charges, "", `{"cents": "100", "requestId": "order-1"}`).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
	w.post(charges, "order-2", `{"cents": "100", "requestId": "order-1"}`).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
	w.mustHaveRun(1)
}

// A key in another header than Idempotency-Key is either the key or an error. A call never loses it and runs unprotected.
func TestF35AKeyInAnotherHeaderIsNeverLost(t *testing.T) {
	own := func(name string) (string, bool) {
		if name == "Payment-Request-Id" {
			return "Idempotency-Key", true
		}

		return runtime.DefaultHeaderMatcher(name)
	}

	const old = "Grpc-Metadata-Idempotency-Key"

	for name, test := range map[string]struct {
		header string
		match  runtime.HeaderMatcherFunc
	}{
		"of earlier versions":                {old, nil},
		"of earlier versions, still matched": {old, runtime.LegacyHeaderMatcher},
		"of the application":                 {"Payment-Request-Id", own},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{options: []oncegateway.Option{oncegateway.WithIncomingHeaderMatcher(test.match)}}, nil)

			first := w.post(charges, "", payload, test.header, "order-1").mustBe(onlyonce.StatusExecuted, http.StatusOK)
			w.post(charges, "", payload, test.header, `"order-1"`).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)

			w.post(charges, "order-1", payload, test.header, "order-9").mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
			w.post(charges, "", payload, test.header, "order 1").mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
			w.mustHaveRun(1)
		})
	}
}

// A middleware may write to the map of headers without their canonical form.
func TestF35TheCaseOfTheHeaderDoesNotMatter(t *testing.T) {
	mux := runtime.NewServeMux(oncegateway.Options()...)

	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody)
	r.Header["idempotency-KEY"] = []string{"order-1"}

	ctx, err := runtime.AnnotateContext(t.Context(), mux, r, tillv1.TillService_Charge_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}

	if md, _ := metadata.FromOutgoingContext(ctx); strings.Join(md.Get("idempotency-key"), ",") != "order-1" {
		t.Errorf("the metadata are %v", md)
	}
}

// The matcher of the application sees all other headers, and the attempt is passed on.
func TestOtherHeadersArePassedOnAsBefore(t *testing.T) {
	var got metadata.MD

	w := start(t, setup{inProcess: true}, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		got, _ = metadata.FromIncomingContext(ctx)

		return &tillv1.ChargeResponse{}, nil
	})

	w.post(charges, "order-1", payload, "X-Retry-Attempt", "2", "Authorization", "Bearer x", "Accept", "application/json", "X-Other", "y")

	for name, want := range map[string]string{
		"x-retry-attempt": "2", "authorization": "Bearer x", "grpcgateway-accept": "application/json", "x-other": "",
		"idempotency-key": "order-1",
	} {
		if value := strings.Join(got.Get(name), ","); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
}
