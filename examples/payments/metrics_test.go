package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestDemoExportsMetricsWhileItRuns(t *testing.T) {
	var said bytes.Buffer

	m, err := exportMetrics(t.Context(), "127.0.0.1:0", "the demo", &said)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()

	if !strings.Contains(said.String(), "http://"+m.addr.String()+"/metrics") {
		t.Errorf("it says %q", said.String())
	}

	d := newDemo(someOrders(t, 100))
	d.metrics = m

	if _, err := d.run(t.Context(), modeOnlyonce); err != nil {
		t.Fatal(err)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.addr.String()+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}

	transport := new(http.Transport)
	defer transport.CloseIdleConnections()

	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{
		"onlyonce_calls_total{", "onlyonce_client_calls_total{", "onlyonce_waiter_limit{", "grpc_client_call_retries_bucket{",
	} {
		if !bytes.Contains(text, []byte(name)) {
			t.Errorf("%s is not exported", name)
		}
	}
}

func TestServersExportMetricsOnThePortsAboveTheDemos(t *testing.T) {
	for address, want := range map[string]string{
		":9090": ":9092", "127.0.0.1:0": "127.0.0.1:0", "": "", "9090": "error", ":65535": "error", ":x": "error",
	} {
		got, err := metricsOf(address, 2)
		if err != nil {
			got = "error"
		}

		if got != want {
			t.Errorf("the address of the second server is %q above %q, want %q", got, address, want)
		}
	}

	if m, err := exportMetrics(t.Context(), "", "the demo", io.Discard); m != nil || err != nil {
		t.Errorf("without an address there is %v, %v", m, err)
	}
}
