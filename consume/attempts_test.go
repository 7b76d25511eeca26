package consume_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// outage is a store with transactions that may be down.
type outage struct {
	*txstore.Store

	down bool
}

var errDown = errors.New("the store is down")

func (s *outage) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Transactional = s

	return can
}

func (s *outage) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	if s.down {
		return store.Result{}, nil, errDown
	}

	return s.Store.Begin(ctx, op, wait)
}

// A message that has waited for the store has all its attempts.
func TestF06DeliveriesWhileTheStoreWasDownAreNoAttempts(t *testing.T) {
	t.Parallel()

	s := &outage{Store: txstore.New(), down: true}
	c := start(t, s, func(context.Context, *consume.Message) error { return errBoom },
		consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, MaxAttempts: 3}))

	for n := range 10 {
		c.gets(message("m", n+1), consume.Redeliver, consume.CauseStore)
	}

	s.down = false

	c.gets(message("m", 11), consume.Redeliver, consume.CauseFailed)
	c.gets(message("m", 12), consume.Redeliver, consume.CauseFailed)
	c.gets(message("m", 13), consume.DeadLetter, consume.CausePoison)
	c.hasRun(3)

	// Sent again, it is counted by its queue again.
	c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed)
	c.gets(message("m", 3), consume.DeadLetter, consume.CausePoison)
}

func TestF33APanicOfAKeyFuncIsAFailureOfItsMessage(t *testing.T) {
	t.Parallel()

	engine, err := onlyonce.New(txstore.New(), onlyonce.WithPolicy(onlyonce.Policy{MaxAttempts: 2}))
	if err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		key consume.KeyFunc
		opt consume.Option
	}{
		"the key":     {func(m *consume.Message) (string, error) { return string(m.Data[100:]), nil }, consume.WithContent(nil)},
		"the content": {consume.ByID, consume.WithContent(func(m *consume.Message) []byte { return m.Data[100:] })},
	} {
		c := &consumer{t: t}

		c.deliver, err = consume.Handler(engine, "billing", test.key, func(context.Context, *consume.Message) error { return nil }, test.opt)
		if err != nil {
			t.Fatal(err)
		}

		d := c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed)
		if caught, ok := errors.AsType[*consume.PanicError](d.Err); !ok || !strings.Contains(string(caught.Stack), "attempts_test.go") {
			t.Errorf("%s: the error is %#v", name, d.Err)
		}

		c.gets(message("m", 2), consume.DeadLetter, consume.CausePoison)
	}
}
