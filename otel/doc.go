// Package onceotel tells OpenTelemetry what the kit does: metrics and spans of servers, clients, stores and the reconciler.
//
//	telemetry, err := onceotel.New()
//	…
//	records, err := redisstore.Open(url, redisstore.WithObserver(telemetry.StoreObserver("payments")))
//	engine, err := onlyonce.New(records, telemetry.EngineOptions()...)
//	watch, err := telemetry.WatchEngine(engine, "payments")
//	…
//	dial, err := interceptor.DialOptions(telemetry.ClientOption(), interceptor.WithAllMethods())
//
// Metrics lists all metrics. Their attributes have few values: a key, a scope and a record are never among them, and the names of methods
// and targets are bounded. Spans are described at Telemetry.EngineOptions and Telemetry.ClientOption.
//
// Dashboard and Alerts are a dashboard for Grafana and alert rules for Prometheus.
package onceotel
