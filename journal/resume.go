package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
)

// DefaultParallel is how many calls Resume sends at a time.
const DefaultParallel = 4

// shownErrors is how many errors Resume returns.
const shownErrors = 10

// Sender sends a call that was left, with its key. It returns the response, or the error of the call. The verdict of the error, by
// onlyonce.VerdictOf, must cover the attempts of the earlier process too. If only this attempt had no effect, the verdict is
// VerdictUnknown. interceptor.Resume has a Sender for gRPC.
type Sender interface {
	Send(ctx context.Context, entry Entry) (response any, err error)
}

// SenderFunc is a function as a Sender.
type SenderFunc func(ctx context.Context, entry Entry) (response any, err error)

// Send calls the function.
func (f SenderFunc) Send(ctx context.Context, entry Entry) (any, error) { return f(ctx, entry) }

// Answer is the final answer to a call that was left.
type Answer struct {
	Entry Entry
	// Response is the Sender's. For gRPC it is a proto.Message.
	Response any
	// Err is the error of the call, and nil if there is a response.
	Err error
}

// ResumeOption changes one Resume.
type ResumeOption func(*resumption)

type resumption struct {
	target    string
	parallel  int
	retention time.Duration
	answered  map[string]func(context.Context, Answer) error
	accept    func(Entry) error
	unsent    func(context.Context, Entry, error) error
}

// WithParallel sets how many calls are sent at a time, at least 1. The default is [DefaultParallel], 4.
func WithParallel(n int) ResumeOption { return func(r *resumption) { r.parallel = n } }

// WithTarget sets the target whose calls are sent. The default is the target that Resume is called with, such as that of a connection. Use
// it after servers have got another name: the calls that were written for the old name are found by the old name alone. See
// [Journal.Targets]. The servers must have the records of the old ones, or the calls might run twice.
func WithTarget(target string) ResumeOption { return func(r *resumption) { r.target = target } }

// WithRetention declares how long the servers keep outcomes, at least a millisecond. The default is 24 hours. A call that is older than the
// retention less a tolerance might run twice, so it is not sent: see [OnUnsent]. The tolerance is 10 minutes, or half of the retention if
// that is less.
func WithRetention(d time.Duration) ResumeOption { return func(r *resumption) { r.retention = d } }

// OnAnswer sets what is done with the final answers of a method. The method "" is for all methods without a function of their own. The
// function is called in a goroutine of Resume, before the call is removed. It may be called more than once for a call: after it returned an
// error or panicked, or after its process died. The next Resume then gets the same answer. Without a function, the answer is dropped and
// the call is removed. A panic ends up in the goroutine that has called Resume: see [Journal.Resume].
func OnAnswer(method string, answered func(ctx context.Context, answer Answer) error) ResumeOption {
	return func(r *resumption) { r.answered[method] = answered }
}

// WithAccept sets which calls are sent. A call for which the function returns an error is handed to the function of OnUnsent with that
// error. Use it to leave out calls whose Deadline is long over. By default, all calls are sent.
//
// A call that is left out may have taken effect. Only an answer shows whether it has.
func WithAccept(accept func(Entry) error) ResumeOption {
	return func(r *resumption) { r.accept = accept }
}

// OnUnsent sets what is done with calls that can no longer be sent. Their outcome is unknown: find out what became of them. The reason is:
//   - an error that matches ErrTooOld,
//   - an error that matches onlyonce.ReasonKeyReused or onlyonce.ReasonKeyExpired: the server does not accept the call any more,
//   - an error that matches onlyonce.ReasonOutcomeNotStored: the call has run, and its answer was too large to keep,
//   - the error of WithAccept.
//
// If the function returns nil, the call is removed. Otherwise, and without a function, it is left.
func OnUnsent(unsent func(ctx context.Context, entry Entry, reason error) error) ResumeOption {
	return func(r *resumption) { r.unsent = unsent }
}

// Summary counts what became of the calls that were left.
type Summary struct {
	// Answered calls have a final answer, and are removed.
	Answered int
	// Unsent calls were handed to the function of OnUnsent, and are removed.
	Unsent int
	// Left calls stay in the journal.
	Left int
}

// Targets returns the targets of the calls that wait for Resume, sorted.
func (j *Journal) Targets() []string {
	j.mu.Lock()
	defer j.mu.Unlock()

	targets := make(map[string]struct{})

	for _, entry := range j.left { //nolint:gocritic // a map has no pointers to its values
		targets[entry.Target] = struct{}{}
	}

	return slices.Sorted(maps.Keys(targets))
}

// Resume sends the calls that were left for a target, oldest first, several at a time. Those with a final answer are removed. Those whose
// outcome stays unknown are left: call Resume again later. Calls that are on their way are not touched, so Resume may run at any time.
//
// The error has the reasons why calls are left, the first 10 of them. It is nil if none is left. It is also an error, before anything is
// sent, if an option is out of its range.
//
// If the Sender or a function of an option panics, the call is left. Resume goes on with the other calls, and then panics with an error
// that has the first value and its stack. The next Resume calls the function again. Leave the call out with WithAccept until the function
// is corrected.
func (j *Journal) Resume(ctx context.Context, target string, send Sender, opts ...ResumeOption) (Summary, error) {
	r := &resumption{
		target: target, parallel: DefaultParallel, retention: onlyonce.DefaultRetention,
		answered: make(map[string]func(context.Context, Answer) error),
	}
	for _, opt := range opts {
		opt(r)
	}

	if r.parallel < 1 || r.retention < time.Millisecond {
		return Summary{}, fmt.Errorf("journal: Resume: WithParallel is %d, at least 1, and WithRetention is %v, at least 1ms", r.parallel,
			r.retention)
	}

	var (
		mu      sync.Mutex
		summary Summary
		errs    []error
		raised  error // what a function has panicked with
		running sync.WaitGroup
		places  = make(chan struct{}, r.parallel)
	)

	for _, entry := range j.waiting(r.target) { //nolint:gocritic // each goroutine has its own
		places <- struct{}{}

		if !j.take(entry.ID) { // an answer to the same call, or another Resume
			<-places

			continue
		}

		running.Go(func() {
			became, err := fateLeft, errUnfinished

			defer func() {
				value := recover()

				mu.Lock()
				defer mu.Unlock()

				summary.add(became)

				if became == fateLeft && len(errs) < shownErrors {
					errs = append(errs, fmt.Errorf("journal: %s with key %q is left: %w", entry.Method, entry.Key, err))
				}

				if value != nil && raised == nil {
					raised = panicOf(&entry, value)
				}

				<-places
			}()

			became, err = j.resume(ctx, r, send, entry)
		})
	}

	running.Wait()

	if raised != nil {
		panic(raised)
	}

	return summary, errors.Join(errs...)
}

// errUnfinished is why a call is left whose function has panicked or called runtime.Goexit.
var errUnfinished = errors.New("a function of Resume did not return")

// panicOf returns the value with which Resume panics, after a function has panicked with another one. It has the stack of that function.
func panicOf(entry *Entry, value any) error {
	err, ok := value.(error)
	if !ok {
		err = fmt.Errorf("%v", value) //nolint:err113 // the value is all there is
	}

	return fmt.Errorf("journal: %s with key %q is left, because a function of Resume panicked: %w\n\n%s", entry.Method, entry.Key, err,
		debug.Stack())
}

// fate is what became of a call that was left.
type fate int

const (
	fateLeft fate = iota
	fateAnswered
	fateUnsent
)

func (s *Summary) add(f fate) {
	switch f {
	case fateAnswered:
		s.Answered++
	case fateUnsent:
		s.Unsent++
	case fateLeft:
		s.Left++
	}
}

// resume sends one call. The error says why it is left.
func (j *Journal) resume(ctx context.Context, r *resumption, send Sender, entry Entry) (ended fate, err error) {
	defer func() {
		if ended == fateLeft { // also after a panic
			j.leave(entry)
		} else {
			j.settled(&entry)
		}
	}()

	if err := ctx.Err(); err != nil {
		return fateLeft, context.Cause(ctx)
	}

	if err := r.refuses(&entry, time.Now()); err != nil {
		return j.handOver(ctx, r, &entry, err)
	}

	response, err := send.Send(ctx, entry)

	switch {
	case onlyonce.VerdictOf(err) == onlyonce.VerdictFinal:
		return j.answer(ctx, r, Answer{Entry: entry, Response: response, Err: err})
	case hopeless(err):
		return j.handOver(ctx, r, &entry, err)
	default:
		return fateLeft, err
	}
}

// refuses returns why a call is not sent, or nil. A call from the future has no age: the clock was wrong then, or is wrong now.
func (r *resumption) refuses(entry *Entry, now time.Time) error {
	age, usable := now.Sub(entry.Written), keytime.Usable(r.retention)

	if age > usable || -age > keytime.Tolerance(r.retention) {
		return fmt.Errorf("%w: it was written at %v, and may be sent for %v", ErrTooOld, entry.Written.UTC(), usable)
	}

	if r.accept != nil {
		return r.accept(*entry)
	}

	return nil
}

// hopeless reports that the same call can get no other answer, and that this one does not say what has happened.
func hopeless(err error) bool {
	return errors.Is(err, ErrTooOld) || errors.Is(err, onlyonce.ReasonKeyReused) || errors.Is(err, onlyonce.ReasonKeyExpired) ||
		errors.Is(err, onlyonce.ReasonOutcomeNotStored)
}

// answer hands a final answer to the program and removes the call.
func (j *Journal) answer(ctx context.Context, r *resumption, answer Answer) (fate, error) {
	answered, ok := r.answered[answer.Entry.Method]
	if !ok {
		answered = r.answered[""]
	}

	if answered != nil {
		if err := answered(ctx, answer); err != nil {
			return fateLeft, fmt.Errorf("the function of OnAnswer failed: %w", err)
		}
	}

	if err := j.finish(context.WithoutCancel(ctx), &answer.Entry); err != nil {
		return fateLeft, err
	}

	return fateAnswered, nil
}

// handOver hands a call that cannot be sent to the program and removes it.
func (j *Journal) handOver(ctx context.Context, r *resumption, entry *Entry, reason error) (fate, error) {
	if r.unsent == nil {
		return fateLeft, reason
	}

	if err := r.unsent(ctx, *entry, reason); err != nil {
		return fateLeft, fmt.Errorf("the function of OnUnsent failed: %w (%w)", err, reason)
	}

	if err := j.store.Remove(context.WithoutCancel(ctx), entry.ID, true); err != nil {
		return fateLeft, err
	}

	return fateUnsent, nil
}
