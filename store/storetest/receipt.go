package storetest

import (
	"context"
	"sync"

	"github.com/onlyonce-go/onlyonce/store"
)

// keeper passes receipts back to the store as an engine does: the last one of a run with each of its later operations. An operation with
// its own receipt keeps it.
type keeper struct {
	store.Store

	mu       sync.Mutex
	receipts map[run]any
	given    bool // the store has given a receipt
	without  bool // no receipt is passed back
}

// run identifies a run by its key and its owner.
type run struct {
	key   store.Key
	token store.Token
}

// note remembers the receipt of a run.
func (o *keeper) note(of run, res *store.Result) {
	if !res.Applied {
		return
	}

	o.mu.Lock()
	defer o.mu.Unlock()

	o.receipts[of] = res.Receipt
	o.given = o.given || res.Receipt != nil
}

// receipt returns the last receipt of a run.
func (o *keeper) receipt(own any, of run) any {
	o.mu.Lock()
	defer o.mu.Unlock()

	if own != nil || o.without {
		return own
	}

	return o.receipts[of]
}

func (o *keeper) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	res, err := o.Store.Claim(ctx, op)
	o.note(run{op.Key, op.Token}, &res)

	return res, err
}

func (o *keeper) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	op.Receipt = o.receipt(op.Receipt, run{op.Key, op.Token})

	res, err := o.Store.Renew(ctx, op)
	o.note(run{op.Key, op.Token}, &res)

	return res, err
}

func (o *keeper) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	op.Receipt = o.receipt(op.Receipt, run{op.Key, op.Token})

	return o.Store.Complete(ctx, op)
}

func (o *keeper) Release(ctx context.Context, op store.Release) (store.Result, error) {
	op.Receipt = o.receipt(op.Receipt, run{op.Claim.Key, op.Claim.Token})

	return o.Store.Release(ctx, op)
}

func (o *keeper) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	op.Receipt = o.receipt(op.Receipt, run{op.Key, op.Token})

	return o.Store.Hold(ctx, op)
}

// strangeReceipt is a receipt that no store has given.
type strangeReceipt struct{}

func receiptChecks() []check {
	return []check{
		{"a run ends with the receipt of its claim, of its last renewal, with an old one, a strange one and none alike", receiptsAlike},
		{"the receipt of a run that was overtaken ends nothing", receiptOvertaken},
		{"the receipt of another key ends nothing of it", receiptElsewhere},
		{"nobody but its owner ends a run with its receipt", receiptStolen},
		{"a completion with a receipt that arrives again is applied, and with another outcome refused", receiptRepeated},
		{"the retention of a completion holds with a receipt", receiptRetention},
	}
}

// receiptsAlike ends runs in every way with every receipt. The records must be equal.
func receiptsAlike(x *env) { receiptsOf(x, x.newClaim) }

// receiptsOf is receiptsAlike with the given claims.
func receiptsOf(x *env, newClaim func() store.Claim) {
	for name, pick := range map[string]func(claimed, renewed any) any{
		"no receipt":                    func(any, any) any { return nil },
		"a receipt of nobody":           func(any, any) any { return strangeReceipt{} },
		"the receipt of its claim":      func(claimed, _ any) any { return claimed },
		"the receipt of its last lease": func(_, renewed any) any { return renewed },
	} {
		for _, renews := range []bool{false, true} {
			begin := func() (store.Claim, any, store.Result) {
				x.newKey()

				claim := newClaim()
				res := x.start(claim)
				claimed, renewed := res.Receipt, res.Receipt

				x.advance(2 * rounding)

				if renews {
					res = x.renew(claim, 2*long)
					renewed = res.Receipt
				}

				return claim, pick(claimed, renewed), res
			}

			claim, receipt, begun := begin()
			op := completion(claim, theOutcome)
			op.Receipt = receipt
			res, err := x.raw.Complete(x.ctx, op)
			x.sameEnd("a completion with "+name, x.must("Complete", res, err), begun, op.Apply)

			claim, receipt, begun = begin()
			release := store.Release{Claim: claim, Receipt: receipt}
			res, err = x.raw.Release(x.ctx, release)
			x.sameEnd("a release with "+name, x.must("Release", res, err), begun, release.Apply)

			claim, receipt, begun = begin()
			hold := store.Hold{Key: x.key, Token: claim.Token, Outcome: []byte(theNote), Receipt: receipt}
			res, err = x.raw.Hold(x.ctx, hold)
			x.sameEnd("a hold with "+name, x.must("Hold", res, err), begun, hold.Apply)
		}
	}
}

// sameEnd compares the end of a run with the transition table, in the result and in the store.
func (x *env) sameEnd(what string, got, begun store.Result, apply apply) {
	x.Helper()

	want := apply(begun.Record, got.Now)
	if got.Applied != want.Applied {
		x.brokenf(receipts, "%s: Applied is %t, must be %t", what, got.Applied, want.Applied)
	}

	if d := everything(&got.Record, &want.Record); d != "" {
		x.brokenf(receipts, "%s is answered with another record: %s", what, d)
	}

	kept := x.read()
	if d := everything(&kept.Record, &want.Record); d != "" {
		x.brokenf(receipts, "%s leaves another record: %s", what, d)
	}
}

func receiptOvertaken(x *env) {
	first := x.shortClaim()
	receipt := x.startShort(first).Receipt

	second := x.newClaim()
	second.Fence = 1
	x.start(second)

	for name, end := range x.endsWith(first, receipt) {
		x.expect(receipts, name+" with the receipt of a run that was overtaken", end(), want{false, store.Running, second.Token, 2, ""})
	}
}

func receiptElsewhere(x *env) {
	receipt := x.start(x.newClaim()).Receipt

	x.newKey()

	other := x.newClaim()
	x.start(other)

	for name, end := range x.endsWith(x.newClaim(), receipt) {
		x.expect(receipts, name+" of nobody with the receipt of another key", end(), want{false, store.Running, other.Token, 1, ""})
	}
}

func receiptStolen(x *env) {
	owner := x.newClaim()
	receipt := x.start(owner).Receipt

	for name, end := range x.endsWith(x.newClaim(), receipt) {
		x.expect(receipts, name+" of nobody with the receipt of the run", end(), want{false, store.Running, owner.Token, 1, ""})
	}
}

// endsWith returns the operations that end a run, with a receipt. They change nothing if the record belongs to another run.
func (x *env) endsWith(claim store.Claim, receipt any) map[string]func() store.Result {
	return map[string]func() store.Result{
		"a completion": func() store.Result {
			op := completion(claim, theOutcome)
			op.Receipt = receipt
			res, err := x.raw.Complete(x.ctx, op)

			return x.must("Complete", res, err)
		},
		"a hold": func() store.Result {
			res, err := x.raw.Hold(x.ctx, store.Hold{
				Key: claim.Key, Token: claim.Token, Outcome: []byte(theNote), Receipt: receipt,
			})

			return x.must("Hold", res, err)
		},
	}
}

func receiptRepeated(x *env) {
	claim := x.newClaim()
	op := completion(claim, theOutcome)
	op.Receipt = x.start(claim).Receipt

	for range 1 + copies {
		res, err := x.raw.Complete(x.ctx, op)
		x.expect(receipts, "a completion with a receipt, or the copy of it", x.must("Complete", res, err),
			want{true, store.Completed, claim.Token, 1, theOutcome})
	}

	op.Outcome = []byte(otherOutcome)
	res, err := x.raw.Complete(x.ctx, op)
	x.expect(receipts, "another outcome with the same receipt", x.must("Complete", res, err),
		want{false, store.Completed, claim.Token, 1, theOutcome})
}

func receiptRetention(x *env) {
	claim := x.newClaim()
	claim.Retention = oneRetention
	begun := x.start(claim)

	op := completion(claim, theOutcome)
	op.Receipt, op.Retention = begun.Receipt, otherRetention
	res, err := x.raw.Complete(x.ctx, op)
	got := x.must("Complete", res, err)

	x.expires("a completion with a receipt and a retention", got, otherRetention)
	x.sameEnd("a completion with a receipt and a retention", got, begun, op.Apply)
}
