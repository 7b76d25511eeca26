package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ShadowMode decides whether calls are protected, or only observed.
type ShadowMode uint8

// The shadow modes. Zero is taken from the wider policy.
const (
	// ShadowOff protects the calls. It is the default.
	ShadowOff ShadowMode = iota + 1
	// ShadowOn protects no call. The handler of every call runs as it would without the kit, in the context of its caller, and its answer
	// is the answer. Beside it, the engine writes the records that it would have written, and tells the observer with an EventShadow what
	// it would have done. See ShadowReport.
	//   - No fault of the store changes or delays an answer: all store operations run on a goroutine of their own beside the handler, within
	//     the engine's timeouts. At most Limits.MaxPending calls are observed at a time, and at most Limits.MaxPendingBytes of answers are
	//     held. What is beyond is not observed, and its event has ErrShadowFull.
	//   - A first call costs one claim and one write, as in real mode. A duplicate costs one claim, and some more while it would have waited.
	//   - The records have identities of their own. Real mode never sees a record of shadow mode, nor the other way round.
	//   - Every record expires by its retention. Where real mode would hold an outcome as unknown, shadow mode notes it in a completed
	//     record. The record of a run whose process died is not listed by ListUnknown: see ListShadow.
	//   - Recover and ReplayCheck are not called, and ExactlyOnce gives the handler no transaction.
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
var ErrShadowFull = errors.New("onlyonce: too many calls are observed in shadow mode, so this one was not")

// Shadowed is what an EventShadow has besides the fields of other events. Status and Reason of the event are those that real mode would
// have answered with; they are empty where nobody can say. Err is why a call would have been refused, or could not be observed.
type Shadowed struct {
	// Keyed reports that the call had a key.
	Keyed bool
	// Code and Class are how the handler of this very call has ended, and what that means for its key. Code is PANIC after a panic.
	Code  string
	Class Class
	// Waited reports that the call came while another one of its key was running, so that real mode would have let it wait.
	Waited bool
	// Compared reports that the call was a duplicate whose answer would have been replayed, and that both answers are known. Differs then
	// reports that the handler has given another answer than the recorded one. Metadata is not compared.
	Compared, Differs bool
	// Recorded is the code of the recorded outcome of a duplicate, "" if there was none.
	Recorded string
	// CallerGone reports that the handler failed after its caller had gone. Real mode would have let it go on.
	CallerGone bool
	// Overrun reports that the handler took longer than MaxRun. Real mode would have cancelled it.
	Overrun bool
}

// Shadow is a call of a method in shadow mode.
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

// Shadow begins to observe a call in shadow mode, for a transport that runs the handler itself. Refused is why the transport would have
// refused the call before Execute, or nil. A call without a key is not refused by itself: it is observed as one that has none. End must
// follow. Shadow never waits.
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

	s.disguise()
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

// End ends the observation with what the handler has returned. It must be called exactly once, and does not wait. Nobody modifies the Body
// of the outcome any more.
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

// PanickedOutcome is the outcome of a handler that has panicked.
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

// ReportShadowMode tells the observer, with an EventShadowMode, that a method is in shadow mode. Transports call it when a server starts.
func (e *Engine) ReportShadowMode(ctx context.Context, method string) {
	e.observe(ctx, Event{Kind: EventShadowMode, Method: method})
}
