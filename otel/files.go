package onceotel

import _ "embed" // for dashboard and alerts

//go:embed dashboard.json
var dashboard string

//go:embed alerts.yaml
var alerts string

// Dashboard returns a Grafana dashboard as JSON, for Grafana 10 or newer. It is the file dashboard.json.
func Dashboard() string { return dashboard }

// Alerts returns Prometheus alert rules as YAML. It is the file alerts.yaml.
func Alerts() string { return alerts }
