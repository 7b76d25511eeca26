package main

import (
	"bytes"
	"errors"
	"regexp"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/shop/lossy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a demonstration that takes a few seconds.
func small() *demo {
	d := newDemo()
	d.requested, d.faults = 60, lossy.Faults{Request: 0.05, Reply: 0.3}

	return d
}

func TestEveryOrderIsChargedOnceOverEveryWire(t *testing.T) {
	var out bytes.Buffer
	if err := small().show(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}

	want := regexp.MustCompile(`by curl +6 +6 +6\s[\s\S]*replies lost +[1-9]\d* +[1-9]\d* +[1-9]\d*\n\n` +
		`result wire=http requested=60 charged=60 doubled=0 missing=0\n` +
		`result wire=connect requested=60 charged=60 doubled=0 missing=0\n` +
		`result wire=gateway requested=60 charged=60 doubled=0 missing=0\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("the output does not end with the result lines:\n%s", out.String())
	}
}

func TestWithoutTheKitOrdersAreChargedTwiceOverEveryWire(t *testing.T) {
	d := small()
	d.without = true

	var out bytes.Buffer
	if err := d.show(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}

	want := regexp.MustCompile(`\nresult wire=http requested=60 charged=\d+ doubled=[1-9]\d* missing=\d+\n` +
		`result wire=connect requested=60 charged=\d+ doubled=[1-9]\d* missing=\d+\n` +
		`result wire=gateway requested=60 charged=\d+ doubled=[1-9]\d* missing=\d+\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("the output does not end with the result lines:\n%s", out.String())
	}
}

func TestTheDemoFailsIfAnOrderIsMissingOrDoubledOrUnanswered(t *testing.T) {
	good := result{wire: "http", requested: 2, answered: 2, charged: 2}

	for name, r := range map[string]result{
		"doubled":    {wire: "http", requested: 2, answered: 2, charged: 3, doubled: 1},
		"missing":    {wire: "http", requested: 2, answered: 2, charged: 1, missing: 1},
		"unanswered": {wire: "http", requested: 2, answered: 1, charged: 2},
		"wrong":      {wire: "http", requested: 2, answered: 2, charged: 2, wrong: 1},
	} {
		if err := new(demo).judge([]*result{&good, &r}); !errors.Is(err, errNotShown) {
			t.Errorf("%s: %v", name, err)
		}
	}

	if err := (&demo{without: true}).judge([]*result{&good}); !errors.Is(err, errNotShown) {
		t.Errorf("without the kit, and nothing doubled: %v", err)
	}

	if err := new(demo).judge([]*result{&good}); err != nil {
		t.Error(err)
	}
}

func TestWrongUseIsRefused(t *testing.T) {
	for _, args := range [][]string{{"extra"}, {"-orders", "0"}, {"-nonsense"}} {
		if err := run(t.Context(), args, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
