package onlyonce

import (
	"fmt"
	"slices"
)

// Class says what an outcome means for the key.
type Class uint8

// The classes of outcomes.
const (
	// ClassAmbiguous means that nobody knows whether the effect happened. It is the zero value, because an outcome
	// that nobody has classified is one.
	ClassAmbiguous Class = iota
	// ClassDefinite means that the outcome is the answer to the request: it is recorded and replayed.
	ClassDefinite
	// ClassNotExecuted means that the effect did not happen and cannot happen any more: the key is released.
	ClassNotExecuted
)

// String returns the name of the class.
func (c Class) String() string {
	switch c {
	case ClassAmbiguous:
		return "ambiguous"
	case ClassDefinite:
		return "definite"
	case ClassNotExecuted:
		return "not executed"
	default:
		return fmt.Sprintf("Class(%d)", uint8(c))
	}
}

// NotExecuted marks an error of a handler: the effect did not happen and cannot happen any more, so the key is released
// and the next call with it runs. Only the handler can know this; no error code says it. Mark the whole error: of several that are
// joined, or wrapped by more than one %w, a mark on one says nothing of the others. NotExecuted(nil) is nil.
func NotExecuted(err error) error { return mark(err, ClassNotExecuted) }

// Final marks an error of a handler as the answer to the request, whatever its code: it is recorded and replayed. Mark the whole
// error, as for NotExecuted. Final(nil) is nil.
func Final(err error) error { return mark(err, ClassDefinite) }

// KeepWrites marks an error of a handler that shares a transaction with its record: if the error is recorded, what the handler has
// written commits with it, such as a count of failed attempts. Without it, a recorded error leaves only its record behind. It
// says nothing about the class: an error that is not recorded rolls everything back. KeepWrites(nil) is nil.
func KeepWrites(err error) error {
	if err == nil {
		return nil
	}

	return &keeping{err: err}
}

// KeepsWrites reports whether KeepWrites has marked err, or an error that it wraps. Marks inside the error of another call do not
// count.
func KeepsWrites(err error) bool {
	switch e := err.(type) { //nolint:errorlint // this walks by itself, and stops at the errors of other calls
	case *keeping:
		return true
	case verdicter:
		return false
	case interface{ Unwrap() error }:
		return KeepsWrites(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), KeepsWrites)
	default:
		return false
	}
}

type keeping struct{ err error }

func (k *keeping) Error() string { return k.err.Error() }
func (k *keeping) Unwrap() error { return k.err }

// MarkedClass returns the class that NotExecuted or Final has given to err, or to an error that it wraps. The second
// result reports whether there is one. Where errors are joined, a mark on one of them says nothing of the others: they have to
// have the same. Marks inside the error of another call, as [Engine.Do] returns it, speak of that call.
func MarkedClass(err error) (Class, bool) {
	switch e := err.(type) { //nolint:errorlint // this walks by itself, and stops at the errors of other calls
	case *marked:
		return e.class, true
	case verdicter:
		return ClassAmbiguous, false
	case interface{ Unwrap() error }:
		return MarkedClass(e.Unwrap())
	case interface{ Unwrap() []error }:
		return agreedClass(e.Unwrap())
	default:
		return ClassAmbiguous, false
	}
}

// agreedClass is the class that all errors are marked with. Marks that contradict each other say that nobody knows.
func agreedClass(errs []error) (class Class, ok bool) {
	for i, err := range errs {
		own, marked := MarkedClass(err)
		if !marked {
			return ClassAmbiguous, false
		}

		if i > 0 && own != class {
			return ClassAmbiguous, true
		}

		class, ok = own, true
	}

	return class, ok
}

// Unmarked returns err without the marks of NotExecuted, Final and KeepWrites, if they are the outermost.
func Unmarked(err error) error {
	for {
		switch m := err.(type) { //nolint:errorlint // only the outermost marks are taken off; what wraps a mark stays
		case *marked:
			err = m.err
		case *keeping:
			err = m.err
		default:
			return err
		}
	}
}

type marked struct {
	err   error
	class Class
}

func (m *marked) Error() string { return m.err.Error() }
func (m *marked) Unwrap() error { return m.err }

func mark(err error, class Class) error {
	if err == nil {
		return nil
	}

	return &marked{err: err, class: class}
}
