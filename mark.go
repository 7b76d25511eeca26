package onlyonce

// NotExecuted marks an error of a handler: the effect did not happen and cannot happen any more. The key is released, and the next call
// with it runs. Use it if nothing was sent, such as after a failed connection. NotExecuted(nil) is nil.
//   - Only the handler can know this. No error code proves it.
//   - Mark the whole error. If errors are joined, or one error wraps several with %w, a mark on one of them does not cover the others.
func NotExecuted(err error) error { return mark(err, ClassNotExecuted) }

// Final marks an error of a handler as the answer to the request, whatever its code. The error is recorded and replayed for
// Policy.Retention. Mark the whole error, as for [NotExecuted]. Final(nil) is nil.
func Final(err error) error { return mark(err, ClassDefinite) }

// KeepWrites marks an error of a handler that shares a transaction with its record. If the error is recorded, the handler's writes commit
// with it, such as a count of failed attempts. Without the mark, a recorded error leaves only its record behind. KeepWrites(nil) is nil.
//
// It does not change the class: an error that is not recorded rolls everything back. Combine it with [Final] to record an error that is
// ambiguous otherwise.
func KeepWrites(err error) error {
	if err == nil {
		return nil
	}

	return &keeping{err: err}
}

type keeping struct{ err error }

func (k *keeping) Error() string { return k.err.Error() }
func (k *keeping) Unwrap() error { return k.err }

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
