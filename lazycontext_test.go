package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errCause = errors.New("cause")
	errLater = errors.New("a later cause")
)

// standing is a context with everything that can end it.
type standing struct {
	context.Context

	cancel    func(cause error)
	finish    func()
	endParent func(cause error)

	seen []string
}

type valueKey struct{}

// see writes down an observation.
func (s *standing) see(what string, values ...any) {
	s.seen = append(s.seen, fmt.Sprint(what, " ", values))
}

// look records every visible property of a context.
func (s *standing) look(ctx context.Context, name string) {
	_, bounded := ctx.Deadline()
	s.see(name, ctx.Err(), context.Cause(ctx), ctx.Value(valueKey{}), ctx.Value("none"), bounded)
}

// closed writes down whether a channel is closed.
func (s *standing) closed(name string, done <-chan struct{}) {
	select {
	case <-done:
		s.see(name, "is closed")
	default:
		s.see(name, "is open")
	}
}

// parents lists the contexts that a lazy context may be made in.
func parents(ctx context.Context) map[string]func() (context.Context, context.CancelCauseFunc) {
	ctx = context.WithValue(ctx, valueKey{}, "value")
	never := context.WithoutCancel(ctx)

	return map[string]func() (context.Context, context.CancelCauseFunc){
		"parent that never ends": func() (context.Context, context.CancelCauseFunc) { return never, func(error) {} },
		"parent that ends":       func() (context.Context, context.CancelCauseFunc) { return context.WithCancelCause(never) },
		"parent that has ended": func() (context.Context, context.CancelCauseFunc) {
			parent, end := context.WithCancelCause(never)
			end(errLater)

			return parent, end
		},
		"parent with a deadline": func() (context.Context, context.CancelCauseFunc) {
			parent, end := context.WithTimeoutCause(never, time.Second, errLater)

			return parent, func(error) { end() }
		},
	}
}

// uses lists the ways to use a context.
func uses() map[string]func(*standing) {
	return map[string]func(*standing){
		"nothing":                 func(*standing) {},
		"looks":                   func(s *standing) { s.look(s, "before") },
		"cancels":                 func(s *standing) { s.cancel(errCause) },
		"cancels without a cause": func(s *standing) { s.cancel(nil) },
		"finishes":                func(s *standing) { s.finish() },
		"cancels and finishes": func(s *standing) {
			s.cancel(errCause)
			s.look(s, "cancelled")
			s.finish()
		},
		"finishes and cancels": func(s *standing) {
			s.finish()
			s.cancel(errCause)
		},
		"cancels twice": func(s *standing) {
			s.cancel(errCause)
			s.cancel(errLater)
		},
		"ends the parent": func(s *standing) { s.endParent(errCause) },
		"finishes and ends the parent": func(s *standing) {
			s.finish()
			s.endParent(errCause)
		},
		"ends the parent and finishes": func(s *standing) {
			s.endParent(errCause)
			s.finish()
		},
		"waits and finishes": func(s *standing) {
			time.Sleep(2 * time.Second)
			s.finish()
		},
		"finishes and waits": func(s *standing) {
			s.finish()
			time.Sleep(2 * time.Second)
		},
	}
}

// watchers lists the ways to wait for the end of a context, each started before its use. Each returns its observation
// after the use.
func watchers() map[string]func(*standing) func() {
	return map[string]func(*standing) func(){
		"nobody": func(*standing) func() { return func() {} },
		"Done": func(s *standing) func() {
			done := s.Done()
			s.closed("early Done", done)

			return func() { s.closed("Done", done); s.see("the same", done == s.Done()) }
		},
		"child": func(s *standing) func() {
			child, cancel := context.WithCancel(context.WithValue(s, valueKey{}, "another"))

			return func() { s.look(child, "child"); s.closed("its Done", child.Done()); cancel() }
		},
		"child with a deadline": func(s *standing) func() {
			child, cancel := context.WithTimeout(s, time.Hour)

			return func() { s.look(child, "child"); cancel() }
		},
		"child that was cancelled before": func(s *standing) func() {
			child, cancel := context.WithCancelCause(s)
			cancel(errLater)

			return func() { s.look(child, "child") }
		},
		"child without the end": func(s *standing) func() {
			child := context.WithoutCancel(s)

			return func() { s.look(child, "child") }
		},
		"value": func(s *standing) func() {
			child := context.WithValue(s, valueKey{}, "another")

			return func() { s.look(child, "child") }
		},
		"AfterFunc": func(s *standing) func() {
			calls := make(chan error, 2)
			stop := context.AfterFunc(s, func() { calls <- context.Cause(s) })

			return func() {
				synctest.Wait()
				s.see("calls", len(calls), stop())

				if len(calls) > 0 {
					s.see("cause", <-calls)
				}
			}
		},
		"AfterFunc that is stopped": func(s *standing) func() {
			calls := make(chan error, 2)
			stop := context.AfterFunc(s, func() { calls <- context.Cause(s) })
			s.see("stopped", stop(), stop())

			return func() {
				synctest.Wait()
				s.see("calls", len(calls))
			}
		},
	}
}

func TestLazyContextIsAsTheStandardOne(t *testing.T) {
	t.Parallel()

	for parentName, parent := range parents(t.Context()) {
		for useName, use := range uses() {
			for watcherName, watcher := range watchers() {
				t.Run(parentName+"/"+watcherName+"/"+useName, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						observe := func(s *standing) []string {
							seen := watcher(s)
							use(s)
							seen()
							s.look(s, "after")
							s.closed("late Done", s.Done())

							child, cancel := context.WithCancel(s)
							s.look(child, "late child")
							cancel()

							synctest.Wait()
							s.cancel(nil)
							s.endParent(nil)

							return s.seen
						}

						outer, end := parent()
						ctx, cancel := context.WithCancelCause(outer)
						want := observe(&standing{Context: ctx, cancel: cancel, finish: func() { cancel(nil) }, endParent: end})

						var lazy lazyContext

						outer, end = parent()
						lazy.inherit(outer)
						got := observe(&standing{Context: &lazy, cancel: lazy.cancel, finish: lazy.finish, endParent: end})

						if !slices.Equal(got, want) {
							t.Errorf("got\n%q\nwant\n%q", got, want)
						}
					})
				})
			}
		}
	}
}

func TestLazyContextMakesNothingForThoseWhoDoNotNeedItsEnd(t *testing.T) {
	t.Parallel()

	var lazy lazyContext

	lazy.inherit(context.WithValue(context.WithoutCancel(t.Context()), valueKey{}, "value"))

	if lazy.Err() != nil || context.Cause(&lazy) != nil || lazy.Value(valueKey{}) != "value" {
		t.Errorf("Err %v, Cause %v, Value %v", lazy.Err(), context.Cause(&lazy), lazy.Value(valueKey{}))
	}

	lazy.finish()

	if lazy.made.Load() != nil {
		t.Error("something was made for nobody")
	}
}

// For the race detector: all goroutines that look while the context ends see one end with one cause, together with its
// children.
func TestLazyContextEndsOnceForAllWhoLookAtOnce(t *testing.T) {
	t.Parallel()

	for i := range 300 {
		var (
			lazy lazyContext
			wg   sync.WaitGroup
		)

		lazy.inherit(context.WithoutCancel(t.Context()))

		end, want := lazy.finish, context.Canceled
		if i%2 == 0 {
			end, want = func() { lazy.cancel(errCause) }, errCause
		}

		for range 4 {
			wg.Go(func() {
				for lazy.Err() == nil {
					runtime.Gosched()
				}

				if cause := context.Cause(&lazy); !errors.Is(cause, want) || lazy.Err() == nil {
					t.Errorf("the cause is %v, Err is %v", cause, lazy.Err())
				}

				<-lazy.Done()
			})
			wg.Go(func() {
				child, cancel := context.WithCancel(&lazy)
				defer cancel()

				<-child.Done()

				if cause := context.Cause(child); !errors.Is(cause, want) {
					t.Errorf("the child's cause is %v", cause)
				}
			})
		}

		wg.Go(end)
		wg.Wait()
	}
}

// meddling is a context that is used while another context is made in it.
type meddling struct {
	context.Context

	meddle func()
}

func (m *meddling) Done() <-chan struct{} {
	if meddle := m.meddle; meddle != nil {
		m.meddle = nil
		meddle()
	}

	return m.Context.Done()
}

func TestLazyContextIsMadeOnceForTwoWhoNeedItAtOnce(t *testing.T) {
	t.Parallel()

	var (
		lazy   lazyContext
		parent = meddling{Context: context.WithoutCancel(t.Context())}
		first  <-chan struct{}
	)

	lazy.inherit(&parent)

	parent.meddle = func() { first = lazy.Done() }
	second := lazy.Done()

	if first == nil || first != second {
		t.Errorf("the first has the channel %v, the second %v", first, second)
	}
}

func TestLazyContextsChildrenStartNoGoroutines(t *testing.T) { //nolint:paralleltest // it counts goroutines
	for name, parent := range parents(t.Context()) {
		if name == "parent that has ended" {
			continue
		}

		outer, end := parent()

		var lazy lazyContext

		lazy.inherit(outer)

		before := runtime.NumGoroutine()

		for range 300 {
			_, cancel := context.WithCancel(&lazy)
			t.Cleanup(cancel)
		}

		if n := runtime.NumGoroutine() - before; n > 50 {
			t.Errorf("%s: 300 children have started %d goroutines", name, n)
		}

		lazy.finish()
		end(nil)
	}
}

func TestApartContextIsAsTheStandardOne(t *testing.T) {
	t.Parallel()

	parent, end := context.WithTimeoutCause(context.WithValue(t.Context(), valueKey{}, "value"), time.Hour, errLater)
	end()

	observe := func(ctx context.Context) []string {
		s := standing{Context: ctx}
		s.look(s, "itself") //nolint:contextcheck // the contexts under test, here and below
		s.see("Done", s.Done() == nil)

		child, cancel := context.WithCancelCause(s)
		s.look(child, "child") //nolint:contextcheck // as above
		cancel(errCause)
		s.look(child, "cancelled child") //nolint:contextcheck // as above

		return s.seen
	}

	if got, want := observe(&uncancelledContext{parent}), observe(context.WithoutCancel(parent)); !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}
