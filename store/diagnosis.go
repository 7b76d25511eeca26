package store

import (
	"context"
	"fmt"
)

// Diagnoser examines the servers and settings of a store. See [Capabilities].
type Diagnoser interface {
	// Diagnose checks everything that the guarantees of the store depend on, and changes nothing. It returns one Diagnosis for each check at
	// each server, also for checks that found no problem. An unreachable server is a Diagnosis with SeverityFail.
	Diagnose(ctx context.Context) []Diagnosis
}

// Diagnosis is the result of one check.
type Diagnosis struct {
	// Check is the name of the check, such as "eviction". There are few names.
	Check string
	// Where is what was examined, such as the address of a server. It is empty if the store has only one place.
	Where string
	// Severity is how bad the result is. Zero is SeverityOK.
	Severity Severity
	// Found is the state that was found, and its consequence. It begins with a small letter and has no full stop.
	Found string
	// Remedy is what an operator should do. It is empty if nothing is to be done, or if Found names the remedy.
	Remedy string
}

// Severity is how bad a Diagnosis is. A greater value is worse.
type Severity uint8

// The severities.
const (
	// SeverityOK means that the check found no problem.
	SeverityOK Severity = iota
	// SeverityWarn means that a guarantee is weaker, or holds in fewer cases than it could.
	SeverityWarn
	// SeverityFail means that the store cannot keep its guarantees. The store's New and Open fail too.
	SeverityFail
)

// String returns the name of the severity: "ok", "warn" or "fail".
func (s Severity) String() string {
	switch s {
	case SeverityOK:
		return "ok"
	case SeverityWarn:
		return "warn"
	case SeverityFail:
		return "fail"
	default:
		return fmt.Sprintf("Severity(%d)", uint8(s))
	}
}
