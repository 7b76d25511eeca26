package storetest

import (
	"bytes"
	"context"
	"reflect"

	"github.com/onlyonce-go/onlyonce/store"
)

func directChecks() []check {
	return []check{{"a claim and a completion have the same results in place", func(x *env) {
		if x.can.Direct == nil {
			x.Logf("%T has no store.Direct", x.raw)

			return
		}

		directAlike(x)
		directCancelled(x)
	}}}
}

// used returns a result that was used before.
func used() store.Result {
	return store.Result{Applied: true, Record: store.Record{State: store.Unknown, Outcome: []byte("of another"), Doubtful: true}, Receipt: "r"}
}

// directAlike makes every operation twice: a repeat has the same result.
func directAlike(x *env) {
	first, second := x.newClaim(), x.newClaim()
	done := completion(first, theOutcome)
	other := completion(first, otherOutcome)

	for _, step := range []struct {
		name    string
		byValue func() (store.Result, error)
		inPlace func(res *store.Result) error
	}{
		{"a claim that wins", x.claims(&first), x.claimsTo(&first)},
		{"a claim that loses", x.claims(&second), x.claimsTo(&second)},
		{"a completion of nobody's run", x.completes(completion(second, theOutcome)), x.completesTo(completion(second, theOutcome))},
		{"a completion", x.completes(done), x.completesTo(done)},
		{"another completion", x.completes(other), x.completesTo(other)},
		{"a replay", x.claims(&second), x.claimsTo(&second)},
	} {
		got := used()
		err := step.inPlace(&got)
		got = x.must(step.name+" in place", got, err)

		want, err := step.byValue()
		want = x.must(step.name+" by value", want, err)

		if got.Applied != want.Applied {
			x.brokenf(inPlace, "%s: Applied is %t in place, and %t by value", step.name, got.Applied, want.Applied)
		}

		if d := everything(&got.Record, &want.Record); d != "" {
			x.brokenf(inPlace, "%s has another record in place: %s", step.name, d)
		}

		if (got.Receipt == nil) != (want.Receipt == nil) || got.Receipt == used().Receipt {
			x.brokenf(inPlace, "%s has the receipt %v in place, and %v by value", step.name, got.Receipt, want.Receipt)
		}
	}
}

func (x *env) claims(op *store.Claim) func() (store.Result, error) {
	return func() (store.Result, error) { return x.raw.Claim(x.ctx, *op) }
}

func (x *env) claimsTo(op *store.Claim) func(res *store.Result) error {
	return func(res *store.Result) error {
		before := *op
		before.Note = bytes.Clone(op.Note)

		err := x.can.Direct.ClaimTo(x.ctx, op, res)

		if !reflect.DeepEqual(before, *op) {
			x.brokenf(inPlace, "ClaimTo has changed its operation")
		}

		return err
	}
}

func (x *env) completes(op store.Completion) func() (store.Result, error) {
	return func() (store.Result, error) { return x.raw.Complete(x.ctx, op) }
}

func (x *env) completesTo(op store.Completion) func(res *store.Result) error {
	return func(res *store.Result) error {
		err := x.can.Direct.CompleteTo(x.ctx, &op, res)

		if string(op.Outcome) != theOutcome && string(op.Outcome) != otherOutcome {
			x.brokenf(inPlace, "CompleteTo has changed its operation")
		}

		return err
	}
}

// directCancelled checks the results of errors.
func directCancelled(x *env) {
	ctx, cancel := context.WithCancel(x.ctx)
	cancel()

	claim := x.newClaim()
	op := completion(claim, theOutcome)

	for name, run := range map[string]func(res *store.Result) error{
		"ClaimTo":    func(res *store.Result) error { return x.can.Direct.ClaimTo(ctx, &claim, res) },
		"CompleteTo": func(res *store.Result) error { return x.can.Direct.CompleteTo(ctx, &op, res) },
	} {
		res := used()
		if err := run(&res); err != nil && (res.Applied || res.Record.State != store.Absent || res.Receipt != nil) {
			x.brokenf(inPlace, "%s has an error and a result: %+v", name, res)
		}
	}
}
