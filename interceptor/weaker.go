package interceptor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// weakened reports settings that weaken a .proto: WithPolicy must not weaken that of the service or the method, and WithServicePolicy must
// not weaken that of the method. WithMethodPolicy may, because it names the method.
func (c *serverConfig) weakened(name string, declared *annotations) error {
	service, _ := splitMethod(name)
	ofMethod, ofService := c.methods[name], c.services[service]

	return errors.Join(
		weakenedBy("WithServicePolicy", declared.origin()+" of "+name, declared.ownPromise(), ofService, ofMethod),
		weakenedBy("WithPolicy", declared.origin()+" of "+name, declared.promise(), c.policy, ofMethod.over(ofService)),
	)
}

func weakenedBy(option, origin string, promised, given, narrower Policy) error {
	meant := weaknesses(promised, narrower)

	var errs []error

	for _, found := range weaknesses(promised, narrower.over(given)) {
		if !slices.Contains(meant, found) {
			errs = append(errs, fmt.Errorf("interceptor: %s sets %s, which weakens %s in %s: leave it out of %s, or set it in "+
				"WithMethodPolicy to weaken this method on purpose", option, found.given, found.promised, origin, option))
		}
	}

	return errors.Join(errs...)
}

// promise returns the policy that the .proto of a method promises its clients. If it protects the method and sets no KeyUse, it promises
// that calls may have keys and be retried.
func (a *annotations) promise() Policy {
	promised := a.policy
	if promised.Key == KeyInherit && (a.given || a.key != nil) {
		promised.Key = KeyOptional
	}

	return promised
}

// ownPromise returns the promise of the method's own option and its request, without the service's.
func (a *annotations) ownPromise() Policy {
	promised := a.own
	if promised.Key == KeyInherit && a.policy.Key != KeyIgnored && a.key != nil {
		promised.Key = KeyOptional
	}

	if a.policy.ErrorRetention > 0 {
		promised.Retention = 0 // it does not apply to errors
	}

	return promised
}

// promisedKeyLife returns the key life that the .proto promises, or zero.
func (a *annotations) promisedKeyLife() time.Duration {
	return cmp.Or(a.policy.KeyLife, min(a.policy.Retention, onlyonce.DefaultKeyLife))
}

// promisedErrorRetention returns for how long a .proto promises to keep errors, or zero.
func promisedErrorRetention(promised *Policy) time.Duration {
	return cmp.Or(promised.ErrorRetention, promised.Retention)
}

// weakness is a setting of a policy, and the setting of another policy that it weakens.
type weakness struct{ given, promised string }

// weaknesses lists the settings of a policy that protect less than the promised policy. Fields that either policy leaves unset are not
// compared. judgeTimes compares Retention and KeyLife. Lease, MaxRun and MaxWait protect nothing.
func weaknesses(promised, given Policy) []weakness {
	var found []weakness

	note := func(is bool, given, promised string) {
		if is {
			found = append(found, weakness{given: given, promised: promised})
		}
	}

	note(promised.Guarantee != 0 && given.Guarantee != 0 && store.Stricter(promised.Guarantee, given.Guarantee) != given.Guarantee,
		fmt.Sprintf("Guarantee %v", given.Guarantee), fmt.Sprintf("guarantee %v", promised.Guarantee))
	// A handler is written for one mode. Under the other, its rows do not commit together with the record.
	note(promised.TransactionMode != 0 && given.TransactionMode != 0 && promised.TransactionMode != given.TransactionMode,
		fmt.Sprintf("TransactionMode %v", given.TransactionMode), fmt.Sprintf("transaction %v", promised.TransactionMode))
	note(promised.Key == KeyRequired && given.Key == KeyOptional, "KeyOptional", "key KEY_USE_REQUIRED")
	note(promised.Key == KeyRequired && given.Key == KeyIgnored, "KeyIgnored", "key KEY_USE_REQUIRED")
	note(promised.Key == KeyOptional && given.Key == KeyIgnored, "KeyIgnored", "the keys that clients send and rely on")
	note(promised.KeyRules != nil && given.KeyRules != nil && looser(given.KeyRules, promised.KeyRules),
		"KeyRules that accept more keys", "key_form")
	note(promised.StoreDown == onlyonce.FailClosed && given.StoreDown == onlyonce.FailOpen, "StoreDown FailOpen", "fail_open false")
	note(promised.Detachment == onlyonce.Detached && given.Detachment == onlyonce.Attached, "Detachment Attached", "detached true")
	note(promised.MaxAttempts > 0 && given.MaxAttempts > promised.MaxAttempts,
		fmt.Sprintf("MaxAttempts %d", given.MaxAttempts), fmt.Sprintf("max_attempts %d", promised.MaxAttempts))
	note(given.MaxOutcome > 0 && given.MaxOutcome < promised.MaxOutcome,
		fmt.Sprintf("MaxOutcome %d", given.MaxOutcome), fmt.Sprintf("max_outcome %d", promised.MaxOutcome))

	note(given.ErrorRetention > 0 && given.ErrorRetention < promisedErrorRetention(&promised),
		fmt.Sprintf("ErrorRetention %v", given.ErrorRetention), errorPromise(&promised))

	return append(found, weakerCodes(promised, given)...)
}

// weakerCodes lists the settings for single codes that protect less than the promised policy.
func weakerCodes(promised, given Policy) []weakness {
	var found []weakness

	for _, code := range slices.Sorted(maps.Keys(given.Retentions)) {
		other, retention, promise := given.Retentions[code], promisedErrorRetention(&promised), errorPromise(&promised)

		if own, ok := promised.Retentions[code]; ok {
			retention, promise = own, fmt.Sprintf("retention %v in classes", own)
		}

		if other < retention {
			found = append(found, weakness{given: fmt.Sprintf("Retentions with %v for %s", other, codeName(code)), promised: promise})
		}
	}

	for _, code := range slices.Sorted(maps.Keys(promised.Classes)) {
		class := promised.Classes[code]
		other, replaced := given.Classes[code]

		if replaced && other != class && (other == onlyonce.ClassNotExecuted || class == onlyonce.ClassDefinite) {
			found = append(found, weakness{
				given: fmt.Sprintf("Classes with %v for %s", other, codeName(code)), promised: fmt.Sprintf("%v in classes", class),
			})
		}
	}

	return found
}

// errorPromise names the setting of a .proto that decides for how long errors are kept.
func errorPromise(promised *Policy) string {
	if promised.ErrorRetention > 0 {
		return fmt.Sprintf("error_retention %v", promised.ErrorRetention)
	}

	return fmt.Sprintf("retention %v, which also holds for errors,", promised.Retention)
}

// looser reports whether rules accept keys that the other rules refuse.
func looser(rules, than *onlyonce.KeyRules) bool {
	unlisted := func(c rune) bool { return !strings.ContainsRune(than.Alphabet, c) }

	return than.TimeOrdered && !rules.TimeOrdered ||
		rules.MinLength < than.MinLength ||
		than.MaxLength > 0 && (rules.MaxLength == 0 || rules.MaxLength > than.MaxLength) ||
		than.Alphabet != "" && (rules.Alphabet == "" || strings.ContainsFunc(rules.Alphabet, unlisted))
}
