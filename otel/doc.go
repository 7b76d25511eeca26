// Package onceotel makes OpenTelemetry metrics and spans of servers, clients, stores and the reconciler.
//
//	telemetry, err := onceotel.New()
//	…
//	records, err := redisstore.Open(url, redisstore.WithObserver(telemetry.StoreObserver("payments")))
//	engine, err := onlyonce.New(records, telemetry.EngineOptions()...)
//	watch, err := telemetry.WatchEngine(engine, "payments")
//	…
//	dial, err := interceptor.DialOptions(telemetry.ClientOption(), interceptor.WithAllMethods())
//
// Metrics lists all metrics. Attributes have few values: keys, scopes and record IDs never appear, and the number of method and target
// names is bounded. Telemetry.EngineOptions and Telemetry.ClientOption describe the spans.
//
// Dashboard is a dashboard for Grafana. Alerts are alert rules for Prometheus.
package onceotel
