package operate_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// sick is a store with injected faults.
type sick struct {
	store.Store

	ahead     time.Duration
	unlisted  error
	unwritten error
	diagnoses []store.Diagnosis
}

func (s *sick) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Inspector = inspector{can.Inspector, s}
	can.Diagnoser = s

	if s.unlisted != nil {
		can.Lister = lister{can.Lister, s}
	}

	return can
}

func (s *sick) Diagnose(context.Context) []store.Diagnosis { return s.diagnoses }

func (s *sick) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	if s.unwritten != nil {
		return store.Result{}, s.unwritten
	}

	return s.Store.Claim(ctx, op)
}

type inspector struct {
	store.Inspector

	sick *sick
}

func (i inspector) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	res, err := i.Inspector.Lookup(ctx, key)
	res.Now = res.Now.Add(i.sick.ahead)

	return res, err
}

type lister struct {
	store.Lister

	sick *sick
}

func (l lister) ListUnknown(context.Context) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) { yield(store.Listed{}, l.sick.unlisted) }
}

// diagnosis returns the diagnosis of a check. It fails the test if there is none.
func diagnosis(t *testing.T, health operate.Health, check string) store.Diagnosis {
	t.Helper()

	for _, d := range health.Diagnoses {
		if d.Check == check {
			return d
		}
	}

	t.Fatalf("there is no check %q in %+v", check, health)

	return store.Diagnosis{}
}

func TestDoctorFindsNothingWrongWithASoundStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()

		health := operate.Doctor(t.Context(), s, operate.DoctorOptions{})
		if health.Severity() != store.SeverityOK {
			t.Errorf("got %+v", health)
		}

		for _, check := range []string{"reads", "clock", "index", "unknown records", "records"} {
			diagnosis(t, health, check)
		}

		if n := s.Len(); n != 0 {
			t.Errorf("%d records are left behind", n)
		}
	})
}

func TestDoctorReportsEachFaultByItself(t *testing.T) {
	t.Parallel()

	broken := errors.New("no rights")
	evicts := store.Diagnosis{Check: "eviction", Severity: store.SeverityFail, Found: "evicts", Remedy: "do not"}

	for name, tt := range map[string]struct {
		store    *sick
		check    string
		severity store.Severity
		words    string
	}{
		"clock ahead":        {&sick{ahead: time.Hour}, "clock", store.SeverityWarn, "1h0m0s"},
		"clock behind":       {&sick{ahead: -time.Hour}, "clock", store.SeverityWarn, "-1h0m0s"},
		"no list":            {&sick{unlisted: broken}, "index", store.SeverityFail, "no rights"},
		"damaged record":     {&sick{unlisted: store.ErrUnreadable}, "unreadable records", store.SeverityWarn, "refused: 1"},
		"no writes":          {&sick{unwritten: broken}, "records", store.SeverityFail, "claim: no rights"},
		"what the store has": {&sick{diagnoses: []store.Diagnosis{evicts}}, "eviction", store.SeverityFail, "evicts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tt.store.Store = memstore.New()

				health := operate.Doctor(t.Context(), tt.store, operate.DoctorOptions{})
				found := diagnosis(t, health, tt.check)

				if found.Severity != tt.severity || !strings.Contains(found.Found, tt.words) || found.Remedy == "" {
					t.Errorf("got %+v", found)
				}

				if health.Severity() != tt.severity {
					t.Errorf("the report is %v", health.Severity())
				}
			})
		})
	}
}

func TestDoctorThatMayOnlyReadDoesNotWrite(t *testing.T) {
	t.Parallel()

	s := &sick{Store: memstore.New(), unwritten: errors.New("no rights")}

	if health := operate.Doctor(t.Context(), s, operate.DoctorOptions{ReadOnly: true}); health.Severity() != store.SeverityOK {
		t.Errorf("got %+v", health)
	}
}

func TestF03DoctorCountsRecordsThatWait(t *testing.T) {
	t.Parallel()

	s := memstore.New()
	unknown(t, newEngine(t, s), method, "k")

	found := diagnosis(t, operate.Doctor(t.Context(), s, operate.DoctorOptions{}), "unknown records")
	if found.Severity != store.SeverityWarn || !strings.HasSuffix(found.Found, ": 1") {
		t.Errorf("got %+v", found)
	}
}
