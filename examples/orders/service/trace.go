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
	KindAttempt = "attempt" // of a call, as its caller sees it
	KindEvent   = "event"   // as the kit tells it where the call arrives
	KindKilled  = "killed"  // a process
)

// Entry is one line of a trace.
type Entry struct {
	Kind string `json:"kind"`
	// At is when it was, of an attempt when it began.
	At time.Time `json:"at"`
	// Service is who saw it.
	Service string `json:"service"`
	// Method and Key are of the call.
	Method string `json:"method,omitempty"`
	Key    string `json:"key,omitempty"`
	// ParentMethod and ParentKey are of the run that the call was made by.
	ParentMethod string `json:"parentMethod,omitempty"`
	ParentKey    string `json:"parentKey,omitempty"`
	// Number is which attempt of its call it was, from 1, and Took how long it took.
	Number int           `json:"number,omitempty"`
	Took   time.Duration `json:"took,omitempty"`
	// Status is what the kit said of it, Code how it ended.
	Status string `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`
	// What is the kind of an event.
	What string `json:"what,omitempty"`
}

// Trace is a file of entries, each a line of JSON. It is safe for concurrent use, and by several processes.
type Trace struct {
	service string
	file    *os.File
}

// OpenTrace opens a trace of what a service sees.
func OpenTrace(service, path string) (*Trace, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the demo's own file
	if err != nil {
		return nil, fmt.Errorf("opening the trace: %w", err)
	}

	return &Trace{service: service, file: file}, nil
}

// Close closes the file.
func (t *Trace) Close() error { return t.file.Close() }

// Write appends an entry: at once, since the process may be killed at any time.
func (t *Trace) Write(entry *Entry) {
	entry.Service = t.service

	line, err := json.Marshal(entry)
	if err != nil {
		panic(err) // there is nothing in an entry that could fail
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
