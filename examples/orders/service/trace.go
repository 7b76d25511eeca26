package service

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// The kinds of entries in a trace.
const (
	KindAttempt = "attempt" // a call, as seen by the caller
	KindEvent   = "event"   // an event of the kit on the server
	KindKilled  = "killed"  // a killed process
)

// Entry is one line of a trace.
type Entry struct {
	Kind string `json:"kind"`
	// At is the time of the entry. For an attempt, it is the start.
	At time.Time `json:"at"`
	// Service is the service that wrote the entry.
	Service string `json:"service"`
	// Method and Key identify the call.
	Method string `json:"method,omitempty"`
	Key    string `json:"key,omitempty"`
	// ParentMethod and ParentKey identify the run that made the call.
	ParentMethod string `json:"parentMethod,omitempty"`
	ParentKey    string `json:"parentKey,omitempty"`
	// Number is the attempt number, from 1. Took is its duration.
	Number int           `json:"number,omitempty"`
	Took   time.Duration `json:"took,omitempty"`
	// Status is the status from the kit. Code is the gRPC code.
	Status string `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`
	// What is the kind of an event.
	What string `json:"what,omitempty"`
}

// Trace is a file with one entry per line, as JSON. It is safe for concurrent use, also by several processes.
type Trace struct {
	service string
	file    *os.File
}

// OpenTrace opens the trace of a service.
func OpenTrace(service, path string) (*Trace, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the demo's own file
	if err != nil {
		return nil, fmt.Errorf("opening the trace: %w", err)
	}

	return &Trace{service: service, file: file}, nil
}

// Close closes the file.
func (t *Trace) Close() error { return t.file.Close() }

// Write appends an entry at once, because the process may be killed at any time.
func (t *Trace) Write(entry *Entry) {
	entry.Service = t.service

	line, err := json.Marshal(entry)
	if err != nil {
		panic(err) // unreachable: an entry can be encoded
	}

	_, _ = t.file.Write(append(line, '\n')) // a picture may lack a line
}

// Attempt is an observer of a client interceptor.
func (t *Trace) Attempt(ctx context.Context, a interceptor.Attempt) {
	run, _ := onlyonce.RunFromContext(ctx)

	t.Write(&Entry{
		Kind: KindAttempt, At: time.Now().Add(-a.Elapsed), Took: a.Elapsed,
		Method: a.Method, Key: a.Key, ParentMethod: run.Method, ParentKey: run.Key,
		Number: a.Number, Status: string(a.Status), Code: status.Code(a.Err).String(),
	})
}

func (t *Trace) event(e *onlyonce.Event) {
	t.Write(&Entry{
		Kind: KindEvent, At: time.Now(), Method: e.Method, Key: e.Key, Status: string(e.Status), Code: string(e.Reason), What: e.Kind.String(),
	})
}
