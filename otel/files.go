package onceotel

import _ "embed" // of the dashboard and the rules

//go:embed dashboard.json
var dashboard string

//go:embed alerts.yaml
var alerts string

// Dashboard returns the dashboard for Grafana 10 or newer, as JSON. It is the file dashboard.json.
func Dashboard() string { return dashboard }

// Alerts returns the alert rules for Prometheus, as YAML. It is the file alerts.yaml.
func Alerts() string { return alerts }
