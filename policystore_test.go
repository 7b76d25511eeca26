package onlyonce_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// forgetfulStore keeps records whose outcome is unknown for a time.
type forgetfulStore struct {
	*memstore.Store

	unknown time.Duration
}

func (s forgetfulStore) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.UnknownRetention = s.unknown

	return can
}

func TestF72AttachedRunsAreRefusedUnderAtMostOnce(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())
	attached := onlyonce.Policy{Detachment: onlyonce.Attached}

	_, err := onlyonce.New(memstore.New(), onlyonce.WithPolicy(attached))
	for _, err := range []error{err, e.Validate(attached)} {
		if err == nil || !strings.Contains(err.Error(), "Detachment is Attached under AT_MOST_ONCE") {
			t.Errorf("AT_MOST_ONCE with attached runs: %v", err)
		}
	}

	attached.Guarantee = onlyonce.AtLeastOnce
	if err := e.Validate(attached); err != nil {
		t.Errorf("AT_LEAST_ONCE with attached runs: %v", err)
	}
}

func TestF72RetentionIsAtMostTheStoresUnknownRetention(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		unknown, retention time.Duration
		ok                 bool
	}{
		{0, 100 * 365 * day, true}, {30 * day, 30 * day, true}, {30 * day, 30*day + 1, false}, {time.Hour, 0, false},
	} {
		s := forgetfulStore{memstore.New(), tt.unknown}
		p := onlyonce.Policy{Retention: tt.retention}

		if _, err := onlyonce.New(s, onlyonce.WithPolicy(p)); (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(),
			"this store removes records whose outcome is unknown after "+tt.unknown.String()) {
			t.Errorf("New with a retention of %v, unknown records kept for %v: %v", tt.retention, tt.unknown, err)
		}

		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Retention: time.Hour}))
		if err := e.Validate(p); (err == nil) != (tt.ok || tt.retention == 0) {
			t.Errorf("Validate of a retention of %v, unknown records kept for %v: %v", tt.retention, tt.unknown, err)
		}
	}
}
