package interceptor_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestF35_MalformedKeysNeverReachTheStore(t *testing.T) {
	faults := newFaultStore().down()
	w := start(t, setup{store: faults}, nil)

	keys := map[string][]string{
		"empty":               {""},
		"a space":             {"two words"},
		"only spaces":         {"   "},
		"oversized":           {strings.Repeat("k", 256)},
		"very oversized":      {strings.Repeat("k", 4000)},
		"two":                 {"one", "two"},
		"twice the same":      {"one", "one"},
		"one and an empty":    {"one", ""},
		"many":                strings.Split(strings.Repeat("key ", 50), " "),
		"a tilde and a space": {"~ ~"},
	}

	for name, values := range keys {
		t.Run(name, func(t *testing.T) {
			w.call(withKey(t.Context(), values...), payment()).mustBe(t, keyInvalid)
		})
	}

	w.mustHaveRun(t, 0)

	if n := faults.claims.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestF35_EveryPrintableCharacterMakesAKey(t *testing.T) {
	w := start(t, setup{}, nil)

	var all strings.Builder
	for c := byte('!'); c <= '~'; c++ {
		all.WriteByte(c)
	}

	for _, key := range []string{"k", all.String(), strings.Repeat("k", 255)} {
		w.pay(t, key).mustHaveStatus(t, onlyonce.StatusExecuted)
		w.pay(t, key).mustHaveStatus(t, onlyonce.StatusReplayed)
	}

	w.mustHaveRun(t, 3)
}

// rawCall makes a call with bare HTTP/2, because gRPC clients check metadata before they send it.
func rawCall(t *testing.T, w *world, keys ...string) (header, trailer http.Header) {
	t.Helper()

	transport := &http.Transport{
		Protocols:   new(http.Protocols),
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return w.listener.dial(ctx, addr) },
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)

	body, err := proto.Marshal(&pb.SimpleRequest{})
	if err != nil {
		t.Fatal(err)
	}

	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))

	content := bytes.NewReader(append(frame, body...))

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server.test"+unaryCall, content)
	if err != nil {
		t.Fatal(err)
	}

	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Idempotency-Key": keys}

	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("RoundTrip: %v", err)
	}
	defer resp.Body.Close()

	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("reading the answer: %v", err)
	}

	return resp.Header, resp.Trailer
}

func TestF35_RawHTTP2(t *testing.T) {
	faults := newFaultStore().down()
	w := start(t, setup{store: faults}, nil)

	keys := map[string][]string{
		"not ASCII":         {"schlüssel"},
		"not even UTF-8":    {"\xff\xfe\x80"},
		"a tab":             {"a\tb"},
		"empty":             {""},
		"several":           {"one", "two"},
		"joined by a proxy": {"one, two"},
		"oversized":         {strings.Repeat("ü", 200)},
	}

	for name, values := range keys {
		t.Run(name, func(t *testing.T) {
			header, trailer := rawCall(t, w, values...)

			// All of it is in the one header frame that ends the call: trailers only.
			if header.Get("Grpc-Status") != "3" || header.Get("Idempotency-Status") != "rejected" ||
				header.Get("Grpc-Status-Details-Bin") == "" || len(trailer) != 0 {
				t.Errorf("header %v, trailer %v; want INVALID_ARGUMENT in trailers only", header, trailer)
			}
		})
	}

	w.mustHaveRun(t, 0)

	if n := faults.claims.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestReplayOverRawHTTP2(t *testing.T) {
	w := start(t, setup{}, nil)

	for _, said := range []string{"executed", "replayed"} {
		header, trailer := rawCall(t, w, "key")
		if trailer.Get("Grpc-Status") != "0" || trailer.Get("Idempotency-Status") != said {
			t.Errorf("header %v, trailer %v; want OK and %s", header, trailer, said)
		}
	}

	w.mustHaveRun(t, 1)
}

func TestStricterKeyRules(t *testing.T) {
	strict := onlyonce.StrictKeys()
	faults := newFaultStore()
	w := start(t, setup{store: faults, server: keyPolicy(interceptor.Policy{KeyRules: &strict})}, nil)

	for _, key := range []string{"short-one", strings.Repeat("k", 65), "with.a.dot.in", "a/slash/in-it"} {
		w.pay(t, key).mustBe(t, keyInvalid)
	}

	if n := faults.claims.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}

	for _, key := range []string{"0123456789", strings.Repeat("k", 64), "Order_4711-Retry"} {
		w.pay(t, key).mustHaveStatus(t, onlyonce.StatusExecuted)
	}
}
