package journal

import "errors"

// The errors of a journal, for errors.Is.
var (
	// ErrLocked means that another process, or another Journal of this process, has the journal open.
	ErrLocked = errors.New("journal: another process has it open")
	// ErrNotJournal means that the file is not a journal, or that its header is damaged in both copies. The file is not changed.
	ErrNotJournal = errors.New("journal: the file is not a journal")
	// ErrFull means that a bound of the journal is reached. The call was not written. Raise the bound, or let Resume finish calls.
	ErrFull = errors.New("journal: full")
	// ErrClosed means that the journal is closed.
	ErrClosed = errors.New("journal: closed")
	// ErrUncertain means that a write failed and could not be undone. A later process may find the call and send it.
	ErrUncertain = errors.New("journal: the failed write may be on the disk")
	// ErrLeft means that the call was not executed or not written, but that the journal has an earlier call with the same key and request.
	// The earlier call may have run, and Resume sends it. Do not use a new key.
	ErrLeft = errors.New("journal: an earlier call with the same key and request is left, and may have run")
	// ErrTooOld means that a call is older than the retention of its servers. It might run twice, so it is not sent.
	ErrTooOld = errors.New("journal: the call is older than the servers keep outcomes")
)
