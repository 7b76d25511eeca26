package onceotel

import (
	"slices"
	"strings"
)

// Metric describes a metric of the package.
type Metric struct {
	// Name is the name in OpenTelemetry, such as "onlyonce.calls". See PrometheusName.
	Name string
	// Instrument is the kind of the instrument: counter, histogram, gauge or up-down counter.
	Instrument string
	// Unit is the unit in UCUM, such as "s" and "{call}".
	Unit string
	// Description says what is measured.
	Description string
	// Attributes are the names of all attributes that a measurement may have.
	Attributes []string
}

// The kinds of instruments.
const (
	counter       = "counter"
	histogram     = "histogram"
	gauge         = "gauge"
	upDownCounter = "up-down counter"
)

// The units that several metrics have.
const (
	unitCall   = "{call}"
	unitRecord = "{record}"
)

// PrometheusName is the name of the metric in Prometheus, as go.opentelemetry.io/otel/exporters/prometheus makes it by default. A histogram
// has this name with _bucket, _sum and _count.
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

// Metrics returns all metrics, by their names.
func Metrics() []Metric {
	all := slices.Clone(catalogue)
	slices.SortFunc(all, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })

	return all
}

// catalogue has every metric. Instruments are made from it.
var catalogue = []Metric{ //nolint:gochecknoglobals // nobody changes it
	// The engine.
	{
		"onlyonce.calls", counter, unitCall, "Keyed calls that have ended on the server, by what became of them.",
		[]string{attrMethod, attrStatus, attrReason},
	},
	{
		"onlyonce.call.overhead.duration", histogram, "s",
		"Time that the engine and its store have added to a call: without the handler, and without waiting for another call of the key.",
		[]string{attrMethod, attrStatus},
	},
	{"onlyonce.handler.duration", histogram, "s", "Time in the handlers of calls that ran.", []string{attrMethod, attrStatus}},
	{
		"onlyonce.call.wait.duration", histogram, "s", "Time that duplicates waited for another call of their key.",
		[]string{attrMethod},
	},
	{
		"onlyonce.events", counter, "{event}", "Events of the engine other than the ends of calls.",
		[]string{attrMethod, attrEvent},
	},
	{
		"onlyonce.shadow.calls", counter, unitCall, "Calls of methods in shadow mode, by what would have become of them.",
		[]string{attrMethod, attrStatus, attrReason, attrClass, attrDiffers},
	},
	{"onlyonce.call.active", upDownCounter, unitCall, "Keyed calls under way.", []string{attrEngine}},
	{"onlyonce.waiter.usage", upDownCounter, unitCall, "Calls that wait for another call of their key.", []string{attrEngine}},
	{"onlyonce.waiter.limit", upDownCounter, unitCall, "The most calls that may wait.", []string{attrEngine}},
	{"onlyonce.detached_run.usage", upDownCounter, "{run}", "Runs that go on after their callers have gone.", []string{attrEngine}},
	{
		"onlyonce.detached_run.limit", upDownCounter, "{run}", "The most runs that may go on without their callers.",
		[]string{attrEngine},
	},
	{
		"onlyonce.backlog.write.usage", upDownCounter, "{write}", "Writes that the store has not acknowledged and that are tried again.",
		[]string{attrEngine},
	},
	{
		"onlyonce.backlog.write.limit", upDownCounter, "{write}", "Writes from which on new calls are rejected.",
		[]string{attrEngine},
	},
	{"onlyonce.backlog.memory.usage", upDownCounter, "By", "Memory of these writes.", []string{attrEngine}},
	{"onlyonce.backlog.memory.limit", upDownCounter, "By", "Memory from which on new calls are rejected.", []string{attrEngine}},
	{
		"onlyonce.lease.renewals", counter, "{renewal}", "Renewals of leases that the store has acknowledged.",
		[]string{attrEngine},
	},

	// The stores.
	{
		"onlyonce.store.operation.duration", histogram, "s", "Time of store operations, with waits and resends.",
		[]string{attrStore, attrOperation, attrStoreStatus},
	},
	{
		"onlyonce.store.resends", counter, "{operation}", "Operations that were sent once more.",
		[]string{attrStore, attrOperation},
	},
	{"onlyonce.store.batch.size", histogram, "{operation}", "Operations that shared a round trip.", []string{attrStore}},
	{"onlyonce.store.batch.duration", histogram, "s", "Time of round trips.", []string{attrStore}},
	{"onlyonce.store.wait.duration", histogram, "s", "Time that operations waited for room.", []string{attrStore}},
	{
		"onlyonce.store.refusals", counter, "{refusal}", "Writes that the server refused: it is full, read-only or lacks replicas.",
		[]string{attrStore, attrOperation},
	},
	{"onlyonce.store.sweeps", counter, "{sweep}", "Sweeps of a store.", []string{attrStore, attrStoreStatus}},
	{"onlyonce.store.sweep.records", counter, unitRecord, "Expired records that sweeps have deleted.", []string{attrStore}},
	{
		"onlyonce.store.index.writes", counter, "{entry}", "Entries of an index that were to be written or removed.",
		[]string{attrStore, attrStoreStatus},
	},
	{
		"onlyonce.store.index.repairs", counter, "{entry}", "Entries of an index that did not fit their records.",
		[]string{attrStore},
	},
	{
		"onlyonce.store.listens", counter, "{connection}", "Connections for notifications that were made, or lost.",
		[]string{attrStore, attrStoreStatus},
	},

	// The client.
	{
		"grpc.client.call.retries", histogram, "{retry}", "Retries of a keyed call, as in gRFC A96. A call without retries is not counted.",
		[]string{attrGRPCMethod, attrTarget},
	},
	{
		"grpc.client.call.retry_delay", histogram, "s",
		"Time of a keyed call in which no attempt was under way, as in gRFC A96, if there was any.",
		[]string{attrGRPCMethod, attrTarget},
	},
	{
		"onlyonce.client.calls", counter, unitCall, "Keyed calls that have ended on the client, by why they were not tried again.",
		[]string{attrGRPCMethod, attrTarget, attrStop},
	},
	{
		"onlyonce.client.call.duration", histogram, "s", "Time of keyed calls with all their attempts.",
		[]string{attrGRPCMethod, attrTarget, attrGRPCStatus, attrStatus},
	},
	{
		"onlyonce.client.attempts", counter, "{attempt}", "Attempts of keyed calls.",
		[]string{attrGRPCMethod, attrTarget, attrGRPCStatus, attrStatus},
	},
	{
		"onlyonce.client.unprotected_answers", counter, "{attempt}",
		"Answers of servers that do not protect a method that the client declares protected.", []string{attrGRPCMethod, attrTarget},
	},
	{
		"onlyonce.client.budget.tokens", gauge, "{token}",
		"Tokens left in a retry budget: calls are retried while more than half of the limit is left.",
		[]string{attrTarget},
	},
	{"onlyonce.client.budget.limit", gauge, "{token}", "Tokens of a full retry budget.", []string{attrTarget}},

	// The reconciler.
	{
		"onlyonce.records.unknown", gauge, unitRecord, "Records that the last look has left with an unknown outcome.",
		[]string{attrEngine, attrMethod},
	},
	{
		"onlyonce.records.unknown.age", gauge, "s", "How long the oldest of these records has been unknown.",
		[]string{attrEngine, attrMethod},
	},
	{
		"onlyonce.records.unrecoverable", gauge, unitRecord,
		"Records with an unknown outcome whose method has no recovery function.", []string{attrEngine},
	},
	{
		"onlyonce.reconciler.looks", counter, "{look}", "Looks at all records with an unknown outcome.",
		[]string{attrEngine, attrResult},
	},
	{
		"onlyonce.reconciler.records", counter, unitRecord, "Records that looks have settled, or failed to settle.",
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

// What the values of attributes without a known value are.
const other = "_other"
