package onceotel

import (
	"slices"
	"strings"
)

// Metric describes a metric of this package.
type Metric struct {
	// Name is the OpenTelemetry name, such as "onlyonce.calls". See PrometheusName.
	Name string
	// Instrument is the kind of instrument: counter, histogram, gauge or up-down counter.
	Instrument string
	// Unit is the unit in UCUM, such as "s" or "{call}".
	Unit string
	// Description describes the measured value.
	Description string
	// Attributes are the names of all possible attributes.
	Attributes []string
}

// The kinds of instruments.
const (
	counter       = "counter"
	histogram     = "histogram"
	gauge         = "gauge"
	upDownCounter = "up-down counter"
)

// Units of several metrics.
const (
	unitCall   = "{call}"
	unitRecord = "{record}"
)

// PrometheusName returns the Prometheus name of the metric, as go.opentelemetry.io/otel/exporters/prometheus makes it by default. A
// histogram adds _bucket, _sum and _count.
func (m *Metric) PrometheusName() string {
	name := strings.ReplaceAll(m.Name, ".", "_")

	switch m.Unit {
	case "s":
		name += "_seconds"
	case "By":
		name += "_bytes"
	}

	if m.Instrument == counter {
		name += "_total"
	}

	return name
}

// Metrics returns all metrics, sorted by name.
func Metrics() []Metric {
	all := slices.Clone(catalogue)
	slices.SortFunc(all, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })

	return all
}

// catalogue lists every metric. The instruments are made from it.
var catalogue = []Metric{ //nolint:gochecknoglobals // nobody changes it
	// The engine.
	{
		"onlyonce.calls", counter, unitCall, "Keyed calls that ended on the server, by status.",
		[]string{attrMethod, attrStatus, attrReason},
	},
	{
		"onlyonce.call.overhead.duration", histogram, "s",
		"Overhead of the engine and the store: without the handler, and without waiting for another call with the key.",
		[]string{attrMethod, attrStatus},
	},
	{"onlyonce.handler.duration", histogram, "s", "Duration of the handlers of calls that ran.", []string{attrMethod, attrStatus}},
	{
		"onlyonce.call.wait.duration", histogram, "s", "Time that duplicates waited for another call with their key.",
		[]string{attrMethod},
	},
	{
		"onlyonce.events", counter, "{event}", "Events of the engine other than the ends of calls.",
		[]string{attrMethod, attrEvent},
	},
	{
		"onlyonce.shadow.calls", counter, unitCall, "Calls of methods in shadow mode, by the status that they would have had.",
		[]string{attrMethod, attrStatus, attrReason, attrClass, attrDiffers},
	},
	{"onlyonce.call.active", upDownCounter, unitCall, "Keyed calls in progress.", []string{attrEngine}},
	{"onlyonce.waiter.usage", upDownCounter, unitCall, "Calls that wait for another call with their key.", []string{attrEngine}},
	{"onlyonce.waiter.limit", upDownCounter, unitCall, "Maximum number of waiting calls.", []string{attrEngine}},
	{"onlyonce.detached_run.usage", upDownCounter, "{run}", "Runs that continue after their callers have gone.", []string{attrEngine}},
	{
		"onlyonce.detached_run.limit", upDownCounter, "{run}", "Maximum number of detached runs.",
		[]string{attrEngine},
	},
	{
		"onlyonce.backlog.write.usage", upDownCounter, "{write}", "Writes that the store has not acknowledged; they are repeated.",
		[]string{attrEngine},
	},
	{
		"onlyonce.backlog.write.limit", upDownCounter, "{write}", "Number of such writes at which new calls are rejected.",
		[]string{attrEngine},
	},
	{"onlyonce.backlog.memory.usage", upDownCounter, "By", "Memory used by these writes.", []string{attrEngine}},
	{"onlyonce.backlog.memory.limit", upDownCounter, "By", "Memory at which new calls are rejected.", []string{attrEngine}},
	{
		"onlyonce.lease.renewals", counter, "{renewal}", "Lease renewals that the store acknowledged.",
		[]string{attrEngine},
	},

	// The stores.
	{
		"onlyonce.store.operation.duration", histogram, "s", "Duration of store operations, including waits and resends.",
		[]string{attrStore, attrOperation, attrStoreStatus},
	},
	{
		"onlyonce.store.resends", counter, "{operation}", "Operations that were sent again.",
		[]string{attrStore, attrOperation},
	},
	{"onlyonce.store.batch.size", histogram, "{operation}", "Operations that shared a round trip.", []string{attrStore}},
	{"onlyonce.store.batch.duration", histogram, "s", "Duration of round trips.", []string{attrStore}},
	{"onlyonce.store.wait.duration", histogram, "s", "Time that operations waited for capacity.", []string{attrStore}},
	{
		"onlyonce.store.refusals", counter, "{refusal}", "Writes that the server refused: it is full, read-only or lacks replicas.",
		[]string{attrStore, attrOperation},
	},
	{"onlyonce.store.sweeps", counter, "{sweep}", "Sweeps of a store.", []string{attrStore, attrStoreStatus}},
	{"onlyonce.store.sweep.records", counter, unitRecord, "Expired records that sweeps deleted.", []string{attrStore}},
	{
		"onlyonce.store.index.writes", counter, "{entry}", "Index entries to be written or removed.",
		[]string{attrStore, attrStoreStatus},
	},
	{
		"onlyonce.store.index.repairs", counter, "{entry}", "Index entries that did not match their records.",
		[]string{attrStore},
	},
	{
		"onlyonce.store.listens", counter, "{connection}", "Connections for notifications that were made or lost.",
		[]string{attrStore, attrStoreStatus},
	},

	// The client.
	{
		"grpc.client.call.retries", histogram, "{retry}", "Retries of a keyed call, as in gRFC A96. Calls without retries are not counted.",
		[]string{attrGRPCMethod, attrTarget},
	},
	{
		"grpc.client.call.retry_delay", histogram, "s",
		"Time of a keyed call between attempts, as in gRFC A96. Calls without such a time are not counted.",
		[]string{attrGRPCMethod, attrTarget},
	},
	{
		"onlyonce.client.calls", counter, unitCall, "Keyed calls that ended on the client, by the reason why they were not retried.",
		[]string{attrGRPCMethod, attrTarget, attrStop},
	},
	{
		"onlyonce.client.call.duration", histogram, "s", "Duration of keyed calls with all attempts.",
		[]string{attrGRPCMethod, attrTarget, attrGRPCStatus, attrStatus},
	},
	{
		"onlyonce.client.attempts", counter, "{attempt}", "Attempts of keyed calls.",
		[]string{attrGRPCMethod, attrTarget, attrGRPCStatus, attrStatus},
	},
	{
		"onlyonce.client.unprotected_answers", counter, "{attempt}",
		"Answers without protection from methods that the client declares protected.", []string{attrGRPCMethod, attrTarget},
	},
	{
		"onlyonce.client.budget.tokens", gauge, "{token}",
		"Tokens left in a retry budget. Calls are retried while more than half of the limit is left.",
		[]string{attrTarget},
	},
	{"onlyonce.client.budget.limit", gauge, "{token}", "Tokens of a full retry budget.", []string{attrTarget}},

	// The reconciler.
	{
		"onlyonce.records.unknown", gauge, unitRecord, "Records with an unknown outcome after the last pass.",
		[]string{attrEngine, attrMethod},
	},
	{
		"onlyonce.records.unknown.age", gauge, "s", "Age of the oldest of these records.",
		[]string{attrEngine, attrMethod},
	},
	{
		"onlyonce.records.unrecoverable", gauge, unitRecord,
		"Records with an unknown outcome whose method has no recovery function.", []string{attrEngine},
	},
	{
		"onlyonce.reconciler.passes", counter, "{pass}", "Passes over all records with an unknown outcome.",
		[]string{attrEngine, attrResult},
	},
	{
		"onlyonce.reconciler.records", counter, unitRecord, "Records that passes settled or failed to settle.",
		[]string{attrEngine, attrMethod, attrResult},
	},
}

// The names of the attributes.
const (
	attrMethod      = "rpc.method"
	attrStatus      = "onlyonce.status"
	attrReason      = "onlyonce.reason"
	attrEvent       = "onlyonce.event"
	attrClass       = "onlyonce.class"
	attrDiffers     = "onlyonce.shadow.differs"
	attrEngine      = "onlyonce.engine.name"
	attrStore       = "onlyonce.store.name"
	attrOperation   = "onlyonce.store.operation"
	attrStoreStatus = "onlyonce.store.status"
	attrGRPCMethod  = "grpc.method"
	attrTarget      = "grpc.target"
	attrGRPCStatus  = "grpc.status"
	attrStop        = "onlyonce.stop"
	attrResult      = "onlyonce.result"
)

// other replaces attribute values that are not known.
const other = "_other"
