// Package adopting moves a method of a service in production to the kit, stage by stage. Each stage can be taken back.
package adopting

import (
	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Stage is how far a method has come.
type Stage string

// The stages.
const (
	// Shadow changes nothing, and reports what the kit would do. Go on when clients send keys, and the report has no surprises.
	Shadow Stage = "shadow"
	// Keys requires keys and replays outcomes. After an ambiguous error the next attempt runs again, as it did before.
	Keys Stage = "keys"
	// Strict never runs again by itself. It needs a Recover, or people who settle what is unknown.
	Strict Stage = "strict"
)

// Policy returns the policy of a method in a stage, for [interceptor.WithMethodPolicy]. All servers of a method
// change their stage together.
func Policy(stage Stage, ask interceptor.RecoverFunc) interceptor.Policy {
	switch stage {
	case Keys:
		return interceptor.Policy{Key: interceptor.KeyRequired, Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}}
	case Strict:
		return interceptor.Policy{
			Key: interceptor.KeyRequired, Policy: onlyonce.Policy{Guarantee: onlyonce.AtMostOnce}, Recover: ask,
		}
	case Shadow:
		return interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}}
	default:
		return interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}}
	}
}
