package retry

import "errors"

// Permanent marks err as not worth another attempt. The mark is read by the default classification alone; a
// function of one's own in Options.Classify may ask [IsPermanent]. [Do] takes the mark off before it
// returns the error; inside another error, where taking it off would lose that one, it stays and is
// transparent to [errors.Is], [errors.As] and to the message. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}

	return &permanentError{err}
}

// IsPermanent reports whether err is marked by [Permanent] or wraps an error that is.
func IsPermanent(err error) bool {
	_, marked := errors.AsType[*permanentError](err)

	return marked
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }

func (e *permanentError) Unwrap() error { return e.err }

// unmark takes the outermost marks off.
func unmark(err error) error {
	for {
		mark, ok := err.(*permanentError) //nolint:errorlint // a mark inside another error stays there
		if !ok {
			return err
		}

		err = mark.err
	}
}
