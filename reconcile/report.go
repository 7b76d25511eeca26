package reconcile

import (
	"maps"
	"slices"
	"time"
)

// Report is the result of one pass over the records with an unknown outcome.
type Report struct {
	// Start is when the pass began.
	Start time.Time
	// Unknown counts the records that still have an unknown outcome, as far as this pass has seen.
	Unknown int
	// Settled counts the records that this pass settled. Failed counts failed recoveries and settlements.
	Settled, Failed int
	// NoRecovery counts the unknown records whose method has no recovery function.
	NoRecovery int
	// Oldest is the age of the oldest unknown record.
	Oldest time.Duration
	// Methods has the same numbers per method, sorted by name.
	Methods []MethodReport
	// Err is why the pass is incomplete, or nil.
	Err error
}

// MethodReport is the part of a Report for one method.
type MethodReport struct {
	// Method is the method name. It is empty for records that cannot be read.
	Method string
	// Unknown, Settled, Failed and Oldest have the same meaning as in Report.
	Unknown, Settled, Failed int
	Oldest                   time.Duration
	// NoRecovery reports that the method has no recovery function.
	NoRecovery bool
	// BackoffUntil is when the recovery function is called again after failures. It is zero if the method is not delayed.
	BackoffUntil time.Time
}

// tally counts the records of a pass.
type tally struct{ methods map[string]*MethodReport }

func (t *tally) of(method string) *MethodReport {
	if t.methods[method] == nil {
		t.methods[method] = &MethodReport{Method: method}
	}

	return t.methods[method]
}

// count counts one record.
func (t *tally) count(method string, what result, age time.Duration) {
	m := t.of(method)

	switch what {
	case resultSettled:
		m.Settled++

		return
	case resultGone:
		return
	case resultFailed:
		m.Failed++
	case resultNoRecovery:
		m.NoRecovery = true
	case resultStill, resultEarly, resultElsewhere, resultStopped:
	}

	m.Unknown++
	m.Oldest = max(m.Oldest, age)
}

// report returns the sums.
func (t *tally) report(began time.Time, err error) Report {
	report := Report{Start: began, Err: err}

	for _, name := range slices.Sorted(maps.Keys(t.methods)) {
		m := t.methods[name]
		report.Methods = append(report.Methods, *m)
		report.Unknown += m.Unknown
		report.Settled += m.Settled
		report.Failed += m.Failed
		report.Oldest = max(report.Oldest, m.Oldest)

		if m.NoRecovery {
			report.NoRecovery += m.Unknown
		}
	}

	return report
}
