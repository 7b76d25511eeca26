// Package adopting introduces the kit for a method in production, in stages. Each stage can be reverted.
package adopting

import (
	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Stage is a stage of the introduction.
type Stage string

// The stages.
const (
	// Shadow changes nothing and reports what the kit would do. Go on when clients send keys and the report shows no surprises.
	Shadow Stage = "shadow"
	// Keys requires keys and replays outcomes. After an unknown outcome, the next attempt runs again, as before.
	Keys Stage = "keys"
	// Strict never runs twice. It needs a Recover function, or people who settle unknown outcomes.
	Strict Stage = "strict"
)

// Policy returns the policy of a method in a stage, for [interceptor.WithMethodPolicy]. Change the stage on all servers of a method
// together. Find is the Recover function of the stage Strict.
func Policy(stage Stage, find interceptor.RecoverFunc) interceptor.Policy {
	switch stage {
	case Keys:
		return interceptor.Policy{Key: interceptor.KeyRequired, Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}}
	case Strict:
		return interceptor.Policy{
			Key: interceptor.KeyRequired, Policy: onlyonce.Policy{Guarantee: onlyonce.AtMostOnce}, Recover: find,
		}
	case Shadow:
	}

	return interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}}
}
