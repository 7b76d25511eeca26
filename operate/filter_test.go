package operate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
)

func with(rec onlyonce.Record, change func(*onlyonce.Record)) onlyonce.Record {
	change(&rec)

	return rec
}

func TestFilterSelectsByStateMethodAndAge(t *testing.T) {
	t.Parallel()

	abandoned := with(held(0), func(r *onlyonce.Record) { r.State, r.LeaseUntil = store.Running, now.Add(-time.Minute) })
	running := with(held(0), func(r *onlyonce.Record) {
		r.State, r.LeaseUntil, r.LastStart, r.Unknown = store.Running, now.Add(time.Minute), now.Add(-time.Second), false
	})
	completed := with(held(time.Hour), func(r *onlyonce.Record) { r.State, r.Unknown = store.Completed, false })

	for _, tt := range []struct {
		name   string
		filter operate.Filter
		rec    onlyonce.Record
		want   bool
	}{
		{"everything unknown: held", operate.Filter{}, held(0), true},
		{"everything unknown: abandoned", operate.Filter{}, abandoned, true},
		{"everything unknown: running", operate.Filter{}, running, false},
		{"everything unknown: completed", operate.Filter{}, completed, false},
		{"held is not abandoned", operate.Filter{States: []operate.State{operate.StateAbandoned}}, held(0), false},
		{"abandoned", operate.Filter{States: []operate.State{operate.StateAbandoned}}, abandoned, true},
		{"running", operate.Filter{States: []operate.State{operate.StateRunning}}, running, true},
		{"running does not mean abandoned", operate.Filter{States: []operate.State{operate.StateRunning}}, abandoned, false},
		{"the method", operate.Filter{Method: method}, held(0), true},
		{"another method", operate.Filter{Method: "/bank.Payments/Pa"}, held(0), false},
		{"the method as metrics name it", operate.Filter{Method: method[1:]}, held(0), true},
		{"methods of a service as metrics name it", operate.Filter{Method: "bank.Payments/*"}, held(0), true},
		{"the end of a method", operate.Filter{Method: "Pay"}, held(0), false},
		{"methods of a service", operate.Filter{Method: "/bank.Payments/*"}, held(0), true},
		{"old enough", operate.Filter{Older: time.Minute}, held(time.Minute), true},
		{"too young", operate.Filter{Older: time.Minute}, held(time.Minute - 1), false},
		{"an abandoned one counts from the end of its lease", operate.Filter{Older: time.Minute}, abandoned, true},
		{
			"no known age", operate.Filter{Older: time.Minute},
			with(held(0), func(r *onlyonce.Record) { r.EndedAt = time.Time{} }), false,
		},
	} {
		if got := tt.filter.Selects(&tt.rec); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestFilterMatchesWholeNames(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"?", "a", true}, {"?", "", false}, {"*", "", true}, {"*", "/a/b", true},
		{"/a/*", "/a/", true}, {"/a/*", "/b/x", false}, {"*/Pay", "/bank/Pay", true}, {"*/Pay", "/bank/Pays", false},
		{"*a*b*", "xxaxxbxx", true}, {"*a*b*", "xxbxxaxx", false}, {"a*a", "a", false}, {"a*a", "aa", true},
		{"*?b", "b", false}, {"*?b*", "ab", true}, {"**", "x", true}, {"*[x]", "a[x]", true}, {"", "", true},
	} {
		rec := with(held(0), func(r *onlyonce.Record) { r.Method = tt.name })

		if got := (&operate.Filter{Method: tt.pattern}).Selects(&rec); got != tt.want {
			t.Errorf("pattern %q, name %q: %t, want %t", tt.pattern, tt.name, got, tt.want)
		}
	}
}

func TestInvalidFilterIsRefused(t *testing.T) {
	t.Parallel()

	for want, f := range map[string]operate.Filter{
		"cannot be listed": {States: []operate.State{operate.StateCompleted}},
		"unknown state":    {States: []operate.State{"lost"}},
		"Older is":         {Older: -1},
		"Limit is":         {Limit: -1},
	} {
		if err := f.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", f, err)
		}
	}

	if _, err := operate.ParseStates("unknown,lost"); err == nil {
		t.Error("a state that does not exist is accepted")
	}

	if got, err := operate.ParseStates("Unknown, running"); err != nil || len(got) != 2 || got[1] != operate.StateRunning {
		t.Errorf("got %q, %v", got, err)
	}
}
