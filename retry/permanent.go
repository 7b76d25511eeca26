package retry

import "errors"

// Permanent marks err as not worth another attempt. Permanent(nil) is nil. Only the default of Options.Classify reads the mark; a function
// in Options.Classify can call [IsPermanent].
//
// [Do] removes the mark before it returns the error. A mark inside another error stays there. [errors.Is], [errors.As] and the message
// ignore it.
func Permanent(err error) error {
	if err == nil {
		return nil
	}

	return &permanentError{err}
}

// IsPermanent reports whether err is marked with [Permanent], or wraps an error that is.
func IsPermanent(err error) bool {
	_, marked := errors.AsType[*permanentError](err)

	return marked
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }

func (e *permanentError) Unwrap() error { return e.err }

// unmark removes the outermost marks.
func unmark(err error) error {
	for {
		mark, ok := err.(*permanentError) //nolint:errorlint // a mark inside another error stays
		if !ok {
			return err
		}

		err = mark.err
	}
}
