package interceptor

// misconfigured is the error of a call whose method cannot serve calls until the program changes. The engine's default observer logs such
// errors: see onlyonce.Engine.Refused.
type misconfigured struct{ err error }

func (e *misconfigured) Error() string { return e.err.Error() }
func (e *misconfigured) Unwrap() error { return e.err }
func (*misconfigured) Misconfigured()  {}
