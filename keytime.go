package onlyonce

import (
	"fmt"
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// A time-ordered key says when it was made. Once it is older than outcomes are kept, a missing record proves nothing any more: the
// call may have run and been forgotten. So a key that may be old is first looked up, by a claim that can win nothing where there
// is no record, and only the store's own time decides how old it is.

const (
	// keyTimeTolerance is how far the clocks of clients, and of this process, may be off.
	keyTimeTolerance = 10 * time.Minute
	// lookOnly is the fence of a claim that makes no record: none that has a record has it.
	lookOnly = math.MaxUint32
)

// checkKeyTime refuses a key that is not time-ordered, or that is from the future, and finds out until when it may make a record.
func (x *execution) checkKeyTime() *Rejection {
	made, ok := KeyTime(x.call.Key)
	if !ok {
		return reject(ReasonKeyInvalid, notTimeOrdered, nil)
	}

	life := keyLife(x.policy.Retention)
	x.keyEnds = made.Add(life)

	// A key that is dated further ahead could make a record again after its first one has expired.
	now, ahead := time.Now(), min(keyTimeTolerance, x.policy.Retention-life)
	if made.After(now.Add(ahead)) {
		return reject(ReasonKeyInvalid,
			fmt.Sprintf("this idempotency key was made more than %v in the future; set the clock right, and send a new key", ahead), nil)
	}

	// Where this clock is wrong by less than half of the time, or than the tolerance, the store's clock still has its say.
	if now.Sub(made) > min(life/2, life-keyTimeTolerance) { // half
		x.claim.Fence = lookOnly
	}

	return nil
}

const notTimeOrdered = "an idempotency key of this method is a UUID of version 7, which begins with the time at which it was made; send one"

// keyLife is how old a time-ordered key may be that makes a record.
func keyLife(retention time.Duration) time.Duration {
	return max(retention-keyTimeTolerance, retention/2) // half
}

// looking reports that the claim makes no record, so that nothing is left behind if its fate is unknown.
func (x *execution) looking() bool { return x.claim.Fence == lookOnly }

// keyTooOld reports that there is no record and that the key is too old to make one.
func (x *execution) keyTooOld(res *store.Result) bool {
	return x.call.TimeOrdered && res.Record.State == store.Absent && res.Now.After(x.keyEnds)
}

// refuseTooOld answers a call whose key is too old to make a record.
func (x *execution) refuseTooOld() (Reply, error) {
	x.withdraw()

	rejection := reject(ReasonKeyExpired, "this idempotency key is older than outcomes are kept and there is no record of it, so nobody "+
		"can tell whether it was executed, and it is not executed now; find out in another way, then use a new key", nil)
	x.land(landing{kind: landedRejection, rejection: rejection})

	return Reply{}, rejection
}
