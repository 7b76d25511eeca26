package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ShadowMode decides whether calls are protected, or only observed. Use it to try the kit with real traffic before it protects a service.
type ShadowMode uint8

// The shadow modes. Zero is taken from the wider policy.
const (
	// ShadowOff protects the calls. It is the default.
	ShadowOff ShadowMode = iota + 1
	// ShadowOn protects no call. Every call runs its handler as without the kit, in the context of its caller, and gets the handler's
	// answer. Another goroutine writes the records that the engine would have written. The observer gets an EventShadow with what the engine
	// would have done: see ShadowReport.
	//   - No fault of the store changes or delays an answer.
	//   - Limits.MaxPending bounds the calls that are observed at a time, and Limits.MaxPendingBytes their answers. Further calls are not
	//     observed, and their events have ErrShadowFull.
	//   - A first call costs one claim and one write, as in real mode. A duplicate costs one claim, and more if it would have waited.
	//   - The records of shadow mode have identities of their own. Real mode never reads them, and shadow mode never reads records of real
	//     mode.
	//   - Records expire by their retention. An outcome that real mode would hold as unknown is completed. If the process dies during a run,
	//     the record of the run stays: see ListShadow.
	//   - Recover and ReplayCheck are not called.
	//   - ExactlyOnce gives the handler no transaction.
	ShadowOn
)

// String returns the name of the mode.
func (m ShadowMode) String() string {
	switch m {
	case ShadowOff:
		return "off"
	case ShadowOn:
		return "on"
	default:
		return fmt.Sprintf("ShadowMode(%d)", uint8(m))
	}
}

// ErrShadowFull is the error of an EventShadow about a call that was not observed, because too many others were.
var ErrShadowFull = errors.New("onlyonce: call not observed in shadow mode: too many calls or bytes are observed; " +
	"raise Limits.MaxPending or Limits.MaxPendingBytes")

// Shadowed has the fields of an EventShadow that other events do not have. Status and Reason of the event are those that real mode would
// have answered with; they are empty if that is not known. Err is why a call would have been refused, or could not be observed.
type Shadowed struct {
	// Keyed reports that the call had a key.
	Keyed bool
	// Code and Class are those of the outcome of this call's handler. Code is PANIC after a panic.
	Code  string
	Class Class
	// Waited reports that the call came while another call with its key was running, so real mode would have let it wait.
	Waited bool
	// Compared reports that the call was a duplicate whose answer would have been replayed, and that both answers are known. Differs then
	// reports that the handler's answer differs from the recorded one, or that its outcome is not definite. Metadata is not compared.
	Compared, Differs bool
	// Recorded is the code of the recorded outcome of a duplicate. It is empty if there was none.
	Recorded string
	// CallerGone reports that the handler failed after its caller had gone. Real mode would have let it go on.
	CallerGone bool
	// Overrun reports that the handler took longer than MaxRun. Real mode would have cancelled it.
	Overrun bool
}

// Shadow is a call in shadow mode that is being observed. [Engine.Shadow] begins it, and End ends it.
type Shadow struct {
	attempt
	ctx     context.Context //nolint:containedctx // the caller's: the call lives as long as it
	own     Call
	refused error
	skipped error
	beside  bool // a goroutine observes the call

	ended chan struct{} // closed when the handler has ended
	out   Outcome
	took  time.Duration
	about Shadowed
}

// Shadow begins to observe a call in shadow mode, for a transport that runs the handler itself. [Engine.Execute] does so by itself. Refused
// is why the transport would have refused the call before Execute, or nil. A call without a key is observed as such, and not refused for
// it. Call End afterwards. Shadow never waits.
func (e *Engine) Shadow(ctx context.Context, call *Call, refused error) *Shadow {
	s := &Shadow{
		attempt: attempt{engine: e, caller: context.WithoutCancel(ctx), began: time.Now()},
		ctx:     ctx, own: *call, refused: refused,
	}
	s.own.ReplayCheck, s.own.Recover, s.own.Outcome = nil, nil, nil
	s.call = &s.own
	s.about.Keyed = call.Key != ""

	if refused != nil || call.Key == "" {
		return s
	}

	if s.refused = s.identify(); s.refused != nil {
		return s
	}

	s.useShadowIdentity()
	s.begin() //nolint:contextcheck // the goroutine goes on without the caller, and has its values

	return s
}

// begin lets a goroutine observe the call, if there is room.
func (s *Shadow) begin() {
	e := s.engine

	if e.shadows.calls.Add(1) > int64(e.limits.MaxPending) {
		e.shadows.calls.Add(-1)
		s.skipped = ErrShadowFull

		return
	}

	e.calls.Add(1) // so that a drain waits for it

	if e.draining.Load() {
		e.shadows.calls.Add(-1)
		e.leave()
		s.skipped = ErrDraining

		return
	}

	s.beside, s.ended = true, make(chan struct{})

	go s.observeBeside()
}

// End ends the observation with the outcome of the handler. Call it exactly once, and do not modify the Body of the outcome afterwards. End
// does not wait.
func (s *Shadow) End(out Outcome) {
	s.took = time.Since(s.began)
	s.about.Code, s.about.Class = out.Code, out.Class

	if out.Class == ClassAmbiguous && s.ctx.Err() != nil && (s.policy == nil || s.policy.Detachment == Detached) {
		s.about.CallerGone = true
	}

	if s.policy != nil {
		s.about.Overrun = s.took > s.policy.MaxRun
	}

	s.out = out

	if !s.beside {
		s.report(s.unobserved())

		return
	}

	if held := s.engine.shadows.bytes.Add(int64(len(out.Body))); held > s.engine.limits.MaxPendingBytes {
		s.engine.shadows.bytes.Add(-int64(len(out.Body)))
		s.out.Body, s.out.Room = nil, 0
		s.skipped = ErrShadowFull
	}

	close(s.ended)
}

// executeShadow runs a call in shadow mode.
func (e *Engine) executeShadow(ctx context.Context, call *Call, handler func(context.Context) Outcome) Reply {
	var missing error
	if call.Key == "" {
		missing = reject(ReasonKeyMissing, noKey, nil)
	}

	s, out := e.Shadow(ctx, call, missing), PanickedOutcome()

	defer func() { s.End(out) }()

	out = handler(ctx)

	return Reply{Status: StatusUnprotected}
}

// PanickedOutcome returns the outcome of a handler that has panicked: ambiguous, with the code PANIC.
func PanickedOutcome() Outcome {
	return Outcome{Class: ClassAmbiguous, Code: "PANIC", Err: errPanicked}
}

// inShadow reports whether a call is in shadow mode.
func (e *Engine) inShadow(call *Call) bool {
	switch {
	case call.Prepared != nil:
		return call.Prepared.policy.Shadow == ShadowOn
	case call.Policy != nil && call.Policy.Shadow != 0:
		return call.Policy.Shadow == ShadowOn
	default:
		return e.policy.Shadow == ShadowOn
	}
}

// ReportShadowMode gives the observer an EventShadowMode about a method. Transports call it for each method in shadow mode when a server
// starts.
func (e *Engine) ReportShadowMode(ctx context.Context, method string) {
	e.observe(ctx, Event{Kind: EventShadowMode, Method: method})
}
