package reconcile

import "log/slog"

// failureLog logs the errors of passes. It is the default of Options.Report.
type failureLog struct {
	failures int    // passes in a row that failed
	last     string // the error of the last one
}

// report logs an error once, however many passes in a row have it.
func (l *failureLog) report(pass Report) {
	if pass.Err == nil {
		if l.failures > 0 {
			slog.Info("onlyonce: reconciling works again", "failures", l.failures)
		}

		*l = failureLog{}

		return
	}

	l.failures++

	if text := pass.Err.Error(); text != l.last {
		l.last = text
		slog.Warn("onlyonce: reconciling failed", "failures", l.failures, "error", pass.Err)
	}
}
