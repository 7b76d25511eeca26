package reconcile

import (
	"maps"
	"slices"
	"time"
)

// Report is the result of one look at all records whose outcome is unknown.
type Report struct {
	// Looked is when the look began.
	Looked time.Time
	// Unknown is how many records are left whose outcome is unknown, as far as this look has seen.
	Unknown int
	// Settled is how many records this look has settled. Failed is how often a recovery function, or the settlement, has failed.
	Settled, Failed int
	// NoRecovery is how many of the records that are left have a method without a recovery function.
	NoRecovery int
	// Oldest is how long the oldest record that is left has been unknown.
	Oldest time.Duration
	// Methods has the same numbers for every method, in the order of their names.
	Methods []MethodReport
	// Err is why the look is not complete, or nil.
	Err error
}

// MethodReport is a Report about one method.
type MethodReport struct {
	// Method is the method. It is empty for records that cannot be read.
	Method string
	// Unknown, Settled, Failed and Oldest are as in Report.
	Unknown, Settled, Failed int
	Oldest                   time.Duration
	// NoRecovery means that the method has no recovery function.
	NoRecovery bool
	// BackoffUntil is when the method's recovery function is called again after failures. It is zero if the method does not wait.
	BackoffUntil time.Time
}

// tally counts what a look has found.
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

// report sums up.
func (t *tally) report(began time.Time, err error) Report {
	report := Report{Looked: began, Err: err}

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
