package interceptor

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onlyonce-go/onlyonce"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// policyReader converts an option to a Policy, and collects the problems that do not depend on the server.
type policyReader struct {
	subject  string
	problems []error
}

func (r *policyReader) complainf(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("interceptor: %s: "+format, append([]any{r.subject}, args...)...))
}

func (r *policyReader) policy(option *onlyoncev1.Policy) Policy {
	p := Policy{
		Policy: onlyonce.Policy{
			Guarantee:       r.guarantee(option.GetGuarantee()),
			TransactionMode: r.transaction(option.GetTransaction()),
			Retention:       r.duration("retention", option.GetRetention()),
			ErrorRetention:  r.duration("error_retention", option.GetErrorRetention()),
			KeyLife:         r.duration("key_life", option.GetKeyLife()),
			Lease:           r.duration("lease", option.GetLease()),
			MaxRun:          r.duration("max_run", option.GetMaxRun()),
			MaxWait:         r.maxWait(option.GetMaxWait()),
			MaxAttempts:     r.count("max_attempts", option.MaxAttempts),
			MaxOutcome:      r.count("max_outcome", option.MaxOutcome),
			KeepRequest:     r.count("keep_request", option.KeepRequest),
			StoreDown:       choice(option.FailOpen, onlyonce.FailOpen, onlyonce.FailClosed),
			Detachment:      choice(option.Detached, onlyonce.Detached, onlyonce.Attached),
		},
		Key:      r.keyUse(option.GetKey()),
		KeyRules: r.keyRules(option.GetKeyForm()),
		Classes:  r.classes(option.GetClasses()),

		Retentions: r.retentions(option.GetClasses()),
	}

	// An unknown setting may demand more protection than this build gives.
	if len(option.ProtoReflect().GetUnknown()) > 0 {
		p.Key = KeyRequired

		r.complainf("it has a setting that this build does not know: use a newer build, or leave the setting out")
	}

	return p
}

func (r *policyReader) guarantee(option onlyoncev1.Guarantee) onlyonce.Guarantee {
	switch option {
	case onlyoncev1.Guarantee_GUARANTEE_UNSPECIFIED:
		return 0
	case onlyoncev1.Guarantee_GUARANTEE_AT_MOST_ONCE:
		return onlyonce.AtMostOnce
	case onlyoncev1.Guarantee_GUARANTEE_AT_LEAST_ONCE:
		return onlyonce.AtLeastOnce
	case onlyoncev1.Guarantee_GUARANTEE_EXACTLY_ONCE:
		return onlyonce.ExactlyOnce
	default:
		r.complainf("guarantee is %d, which this build does not know: give AT_MOST_ONCE, AT_LEAST_ONCE or EXACTLY_ONCE", option)

		return onlyonce.AtMostOnce
	}
}

func (r *policyReader) transaction(option onlyoncev1.Transaction) onlyonce.TransactionMode {
	switch option {
	case onlyoncev1.Transaction_TRANSACTION_UNSPECIFIED:
		return 0
	case onlyoncev1.Transaction_TRANSACTION_SINGLE:
		return onlyonce.SingleTransaction
	case onlyoncev1.Transaction_TRANSACTION_JOINED:
		return onlyonce.JoinedTransaction
	default:
		r.complainf("transaction is %d, which this build does not know: give TRANSACTION_SINGLE or TRANSACTION_JOINED", option)

		return onlyonce.SingleTransaction
	}
}

func (r *policyReader) keyUse(option onlyoncev1.KeyUse) KeyUse {
	switch option {
	case onlyoncev1.KeyUse_KEY_USE_UNSPECIFIED:
		return KeyInherit
	case onlyoncev1.KeyUse_KEY_USE_OPTIONAL:
		return KeyOptional
	case onlyoncev1.KeyUse_KEY_USE_REQUIRED:
		return KeyRequired
	case onlyoncev1.KeyUse_KEY_USE_IGNORED:
		return KeyIgnored
	default:
		r.complainf("key is %d, which this build does not know: give KEY_USE_OPTIONAL, KEY_USE_REQUIRED or KEY_USE_IGNORED", option)

		return KeyRequired
	}
}

func (r *policyReader) keyRules(option onlyoncev1.KeyForm) *onlyonce.KeyRules {
	switch option {
	case onlyoncev1.KeyForm_KEY_FORM_UNSPECIFIED:
		return nil
	case onlyoncev1.KeyForm_KEY_FORM_ANY:
		return &onlyonce.KeyRules{}
	case onlyoncev1.KeyForm_KEY_FORM_STRICT:
		rules := onlyonce.StrictKeys()

		return &rules
	case onlyoncev1.KeyForm_KEY_FORM_TIME_ORDERED:
		return &onlyonce.KeyRules{TimeOrdered: true}
	default:
		r.complainf("key_form is %d, which this build does not know: give KEY_FORM_ANY, KEY_FORM_STRICT or KEY_FORM_TIME_ORDERED", option)

		return nil
	}
}

func (r *policyReader) duration(name string, option *durationpb.Duration) time.Duration {
	if option == nil {
		return 0
	}

	d := option.AsDuration()
	if option.CheckValid() != nil || d <= 0 {
		r.complainf("%s is %v: give a positive duration, or leave it out", name, d)

		return 0
	}

	return d
}

// maxWait reads max_wait, the only duration that may be zero.
func (r *policyReader) maxWait(option *durationpb.Duration) time.Duration {
	if option == nil {
		return 0
	}

	d := option.AsDuration()
	if option.CheckValid() != nil || d < 0 {
		r.complainf("max_wait is %v: give a positive duration, zero for no wait, or leave it out", d)

		return 0
	}

	if d == 0 {
		return onlyonce.NoWait
	}

	return d
}

func (r *policyReader) count(name string, option *uint32) int {
	if option == nil {
		return 0
	}

	if *option == 0 {
		r.complainf("%s is 0: give at least 1, or leave it out", name)
	}

	return int(*option)
}

// choice returns yes or no for an optional bool, and zero if it is not set.
func choice[T ~uint8](option *bool, yes, no T) T {
	switch {
	case option == nil:
		return 0
	case *option:
		return yes
	default:
		return no
	}
}

func (r *policyReader) classes(option []*onlyoncev1.CodeClass) map[codes.Code]onlyonce.Class {
	if len(option) == 0 {
		return nil
	}

	classes := make(map[codes.Code]onlyonce.Class, len(option))

	for _, entry := range option {
		code, known := codeOfNumber(entry.GetCode())
		if !known {
			r.complainf("classes has code %d: give the number of an error code, as in google.rpc.Code", entry.GetCode())

			continue
		}

		if _, twice := classes[code]; twice {
			r.complainf("classes has code %d (%s) twice: give it once", entry.GetCode(), codeName(code))
		}

		class, known := classOf(entry.GetClass())
		if !known || len(entry.ProtoReflect().GetUnknown()) > 0 {
			r.complainf("classes has %v for code %d (%s): give DEFINITE, AMBIGUOUS or NOT_EXECUTED",
				entry.GetClass(), entry.GetCode(), codeName(code))
		}

		classes[code] = class
	}

	return classes
}

// retentions returns the retentions of the entries in classes, by code.
func (r *policyReader) retentions(option []*onlyoncev1.CodeClass) map[codes.Code]time.Duration {
	var retentions map[codes.Code]time.Duration

	for _, entry := range option {
		code, known := codeOfNumber(entry.GetCode())
		retention := r.duration(fmt.Sprintf("retention of code %d in classes", entry.GetCode()), entry.GetRetention())

		if !known || retention == 0 {
			continue // reported by classes and duration
		}

		if retentions == nil {
			retentions = make(map[codes.Code]time.Duration)
		}

		retentions[code] = retention
	}

	return retentions
}

func classOf(option onlyoncev1.OutcomeClass) (onlyonce.Class, bool) {
	switch option {
	case onlyoncev1.OutcomeClass_OUTCOME_CLASS_DEFINITE:
		return onlyonce.ClassDefinite, true
	case onlyoncev1.OutcomeClass_OUTCOME_CLASS_NOT_EXECUTED:
		return onlyonce.ClassNotExecuted, true
	case onlyoncev1.OutcomeClass_OUTCOME_CLASS_AMBIGUOUS:
		return onlyonce.ClassAmbiguous, true
	case onlyoncev1.OutcomeClass_OUTCOME_CLASS_UNSPECIFIED:
		return onlyonce.ClassAmbiguous, false
	default:
		return onlyonce.ClassAmbiguous, false
	}
}
