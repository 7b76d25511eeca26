package store

import (
	"context"
	"fmt"
)

// Diagnoser is implemented by stores that can examine their servers and settings.
type Diagnoser interface {
	// Diagnose examines everything that decides whether the store can keep its guarantees, and changes nothing. It returns what it has found
	// at each place, also where all is well. A server that cannot be reached is a diagnosis with SeverityFail.
	Diagnose(ctx context.Context) []Diagnosis
}

// Diagnosis is the result of one check.
type Diagnosis struct {
	// Check is the name of the check, such as "eviction". It has few values.
	Check string
	// Where is the server that was examined, or empty if there is one place only.
	Where string
	// Severity is how bad it is.
	Severity Severity
	// Found says what was found, and what follows from it. It begins with a small letter and has no full stop.
	Found string
	// Remedy says what to do. It is empty if all is well, or if Found says so.
	Remedy string
}

// Severity is how bad a Diagnosis is. The greater, the worse.
type Severity uint8

// The severities.
const (
	// SeverityOK means that all is well.
	SeverityOK Severity = iota
	// SeverityWarn means that guarantees are weaker, or hold in fewer cases than they could.
	SeverityWarn
	// SeverityFail means that the store cannot keep its guarantees. New and Open of such a store fail.
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
