package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/onlyonce-go/onlyonce"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/reconcile"
)

// metrics exports the metrics of a process. Nil exports nothing.
type metrics struct {
	*onceotel.Telemetry

	server *http.Server
	addr   net.Addr
	ended  chan struct{}
}

// exportMetrics exports Prometheus metrics at an address under /metrics, and prints the address. Without an address it returns nil.
func exportMetrics(ctx context.Context, address, process string, log io.Writer) (*metrics, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // nil is a value of the type
	}

	registry := prometheus.NewRegistry()

	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return nil, fmt.Errorf("exporting metrics: %w", err)
	}

	telemetry, err := onceotel.New(onceotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	if err != nil {
		return nil, fmt.Errorf("exporting metrics: %w", err)
	}

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("exporting metrics: %w", err)
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	m := &metrics{
		Telemetry: telemetry, addr: listener.Addr(), ended: make(chan struct{}),
		server: &http.Server{Handler: mux, ReadHeaderTimeout: time.Second},
	}

	go func() {
		defer close(m.ended)

		_ = m.server.Serve(listener) // until close
	}()

	_, _ = fmt.Fprintf(log, "metrics of %s: http://%s/metrics\n", process, m.addr)

	return m, nil
}

// close ends the export.
func (m *metrics) close() {
	if m != nil {
		_ = m.server.Close()

		<-m.ended
	}
}

// observer returns the observer of an engine. Next also gets the events, if it is not nil.
func (m *metrics) observer(next onlyonce.Observer) onlyonce.Observer {
	switch {
	case m == nil:
		return next
	case next == nil:
		return m.Observer()
	default:
		return m.Observer(next)
	}
}

// report makes metrics of a reconciler's report.
func (m *metrics) report(report reconcile.Report) {
	if m != nil {
		m.Report(report)
	}
}

// watch reads the state of an engine.
func (m *metrics) watch(engine *onlyonce.Engine) error {
	if m == nil {
		return nil
	}

	_, err := m.WatchEngine(engine, "payments")

	return err //nolint:wrapcheck // names the problem
}

// metricsOf returns the metrics address of a server, numbered from 1: its port is that of the demo plus the number. Port 0 is any port.
func metricsOf(address string, number int) (string, error) {
	if address == "" {
		return "", nil
	}

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("the address for metrics is %q: give one such as :9090: %w", address, err)
	}

	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil || first > 0 && first+uint64(number) > 1<<16-1 { //nolint:gosec // a number of servers
		return "", errors.New("the port for metrics is not a number, or too high for servers on the ports above it: give one such as 9090")
	}

	if first > 0 {
		first += uint64(number) //nolint:gosec // a number of servers
	}

	return net.JoinHostPort(host, strconv.FormatUint(first, 10)), nil
}
