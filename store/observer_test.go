package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestStatusNamesTheErrorOfAnOperation(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		applied bool
		err     error
		want    store.Status
	}{
		{true, nil, store.StatusApplied},
		{false, nil, store.StatusDeclined},
		{false, store.ErrFull, store.StatusFull},
		{false, store.ErrBusy, store.StatusBusy},
		{false, store.ErrUnreadable, store.StatusUnreadable},
		{false, store.ErrNewer, store.StatusUnreadable},
		{false, context.DeadlineExceeded, store.StatusTimeout},
		{false, context.Canceled, store.StatusCanceled},
		{true, errors.New("connection refused"), store.StatusFailed},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("claim: %w", err)
		}

		if got := store.StatusOf(c.applied, err); got != c.want {
			t.Errorf("applied=%t, %v: %s, want %s", c.applied, err, got, c.want)
		}
	}
}

func TestEveryKindOfAStoresEventHasAName(t *testing.T) {
	t.Parallel()

	seen := make(map[string]bool)

	for kind := store.EventOperation; kind <= store.EventIndex; kind++ {
		if name := kind.String(); seen[name] || name == "" || name[0] == 'E' {
			t.Errorf("the kind %d has the name %q", uint8(kind), name)
		} else {
			seen[name] = true
		}
	}

	if got := store.EventKind(200).String(); got != "EventKind(200)" {
		t.Errorf("an unknown kind is %q", got)
	}
}

func TestObserverOfAStoreThatPanicsChangesNothing(t *testing.T) {
	t.Parallel()

	store.Report(t.Context(), nil, store.Event{Kind: store.EventBatch})

	calls := 0
	store.Report(t.Context(), store.ObserverFunc(func(context.Context, store.Event) {
		calls++

		panic("full disk")
	}), store.Event{Kind: store.EventBatch})

	if calls != 1 {
		t.Errorf("the observer is called %d times", calls)
	}
}
