package onlyonce

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

const (
	// shadowMethods bounds the methods of a report, and shadowNames the codes and the reasons of a method. All others are counted together.
	shadowMethods = 1_000
	shadowNames   = 32
	// shadowOthers names those that are counted together.
	shadowOthers = "(others)"
)

// ShadowReport is an [Observer] that counts what real mode would have done with calls in shadow mode. The zero value is ready to use. It is
// safe for concurrent use. It holds at most 1,000 methods with 32 codes and 32 reasons each, and counts the others together as "(others)".
//
//	report := new(onlyonce.ShadowReport)
//	engine, err := onlyonce.New(store, onlyonce.WithObserver(report.With(onlyonce.AttentionObserver(nil))))
type ShadowReport struct {
	mu      sync.Mutex
	methods map[string]*ShadowMethod
}

// ShadowMethod is the part of a [ShadowReport] about one method. All numbers are numbers of calls.
type ShadowMethod struct {
	// Method is the full name of the method, or "(others)".
	Method string `json:"method"`
	// Calls are all calls that have ended. WithKey and WithoutKey are their parts with and without a key.
	Calls      int64 `json:"calls"`
	WithKey    int64 `json:"with_key"`
	WithoutKey int64 `json:"without_key"`
	// Replayed are duplicates that would have got the recorded answer of an earlier call, and would not have run. Differed are those of
	// them whose handler's answer differs from the recorded one: the method is not idempotent by itself, or its answer changes with time.
	Replayed int64 `json:"replayed"`
	Differed int64 `json:"differed"`
	// Waited are duplicates that came while the first call was running. They are counted by their outcome as well.
	Waited int64 `json:"waited"`
	// Unknown are duplicates that would have been rejected with ReasonOutcomeUnknown.
	Unknown int64 `json:"unknown"`
	// Refused are calls that would have been rejected with another reason, by reason. Calls that would have been refused without a reason,
	// because the program is wrong, are under MISCONFIGURED. Nil means none.
	Refused map[string]int64 `json:"refused,omitempty"`
	// Ambiguous are calls, with or without a key, whose handler has ended with an ambiguous error, by code. Under AtMostOnce each of them
	// leaves an unknown outcome. PANIC is a panic. Nil means none.
	Ambiguous map[string]int64 `json:"ambiguous,omitempty"`
	// CallerGone are calls whose handler has failed after its caller had gone. Real mode would have let the handler go on.
	CallerGone int64 `json:"caller_gone"`
	// Overrun are calls whose handler has taken longer than MaxRun.
	Overrun int64 `json:"overrun"`
	// Unprotected are calls with a key that would have run without protection, because the store was down and the policy is FailOpen.
	Unprotected int64 `json:"unprotected"`
	// Unrecorded are calls whose outcome the store has not acknowledged.
	Unrecorded int64 `json:"unrecorded"`
	// NotObserved are calls that were not observed, such as for want of room: see ShadowOn.
	NotObserved int64 `json:"not_observed"`
}

// With returns an observer that gives every event to the report, and then to next. If next is nil, only the report gets it.
func (r *ShadowReport) With(next Observer) Observer {
	if next == nil {
		return r
	}

	return ObserverFunc(func(ctx context.Context, event Event) {
		r.Observe(ctx, event)
		next.Observe(ctx, event)
	})
}

// Observe counts an EventShadow, and ignores other events. It implements [Observer].
func (r *ShadowReport) Observe(_ context.Context, event Event) {
	if event.Kind != EventShadow || event.Shadow == nil {
		return
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	if r.methods == nil {
		r.methods = make(map[string]*ShadowMethod)
	}

	name := event.Method
	if r.methods[name] == nil && len(r.methods) >= shadowMethods {
		name = shadowOthers
	}

	if r.methods[name] == nil {
		r.methods[name] = &ShadowMethod{Method: name}
	}

	r.methods[name].count(&event)
}

// count adds a call.
func (m *ShadowMethod) count(event *Event) {
	about := event.Shadow
	m.Calls++

	one(&m.WithKey, about.Keyed)
	one(&m.WithoutKey, !about.Keyed)
	one(&m.Waited, about.Waited)
	one(&m.Differed, about.Differs)
	one(&m.CallerGone, about.CallerGone)
	one(&m.Overrun, about.Overrun)

	if about.Class == ClassAmbiguous && !about.CallerGone {
		m.Ambiguous = counted(m.Ambiguous, about.Code)
	}

	switch event.Status {
	case StatusReplayed:
		m.Replayed++
	case StatusUnprotected:
		one(&m.Unprotected, about.Keyed)
	case StatusUnrecorded:
		m.Unrecorded++
	case StatusUnknown:
		one(&m.Unknown, event.Reason == ReasonOutcomeUnknown)
	case StatusRejected:
		m.Refused = counted(m.Refused, cmp.Or(string(event.Reason), "MISCONFIGURED"))
	case StatusExecuted, StatusReleased:
	default:
		m.NotObserved++
	}
}

func one(count *int64, when bool) {
	if when {
		*count++
	}
}

// counted adds one to a count by name.
func counted(counts map[string]int64, name string) map[string]int64 {
	if counts == nil {
		counts = make(map[string]int64)
	}

	const longest = 255

	name = name[:min(len(name), longest)]
	if _, ok := counts[name]; !ok && len(counts) >= shadowNames {
		name = shadowOthers
	}

	counts[name]++

	return counts
}

// Methods returns a copy of the report, sorted by the names of the methods.
func (r *ShadowReport) Methods() []ShadowMethod {
	r.mu.Lock()
	defer r.mu.Unlock()

	methods := make([]ShadowMethod, 0, len(r.methods))

	for _, name := range slices.Sorted(maps.Keys(r.methods)) {
		m := *r.methods[name]
		m.Refused, m.Ambiguous = maps.Clone(m.Refused), maps.Clone(m.Ambiguous)
		methods = append(methods, m)
	}

	return methods
}

// MarshalJSON returns the report as a JSON array of [ShadowMethod].
func (r *ShadowReport) MarshalJSON() ([]byte, error) { return json.Marshal(r.Methods()) }

// String returns the report as a table for people, with a line for each method. Below it are the methods with calls that were not observed.
func (r *ShadowReport) String() string {
	var text, missing strings.Builder

	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "METHOD\tCALLS\tWITH KEY\tREPLAYED\tDIFFERED\tWAITED\tUNKNOWN\tREFUSED\tAMBIGUOUS ERRORS")

	methods := r.Methods()
	for i := range methods {
		m := &methods[i]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n",
			m.Method, m.Calls, m.WithKey, m.Replayed, m.Differed, m.Waited, m.Unknown, listed(m.Refused, 0), listed(m.Ambiguous, m.Calls))

		if m.NotObserved > 0 {
			fmt.Fprintf(&missing, "NOT OBSERVED: %d of %d calls of %s\n", m.NotObserved, m.Calls, m.Method)
		}
	}

	_ = table.Flush() // a Builder returns no error

	return text.String() + missing.String()
}

// listed writes counts, the largest first, with their part of a total that is not 0.
func listed(counts map[string]int64, total int64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})

	parts := make([]string, 0, len(names))

	for _, name := range names {
		part := fmt.Sprintf("%s %d", strings.TrimPrefix(name, "IDEMPOTENCY_"), counts[name])
		if total > 0 {
			part += fmt.Sprintf(" (%.1f%%)", 100*float64(counts[name])/float64(total))
		}

		parts = append(parts, part)
	}

	return cmp.Or(strings.Join(parts, ", "), "-")
}
