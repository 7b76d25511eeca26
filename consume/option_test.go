package consume_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestHandlerRefusesWhatCannotHold(t *testing.T) {
	t.Parallel()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	handle := func(context.Context, *consume.Message) error { return nil }

	for want, attempt := range map[string]func() error{
		"no engine":      func() error { _, err := consume.Handler(nil, "s", consume.ByID, handle); return err }, //nolint:nlreturn // short
		`scope is ""`:    func() error { _, err := consume.Handler(engine, "", consume.ByID, handle); return err },
		`scope is "a/b"`: func() error { _, err := consume.Handler(engine, "a/b", consume.ByID, handle); return err },
		"no KeyFunc":     func() error { _, err := consume.Handler(engine, "s", nil, handle); return err },
		"no function":    func() error { _, err := consume.Handler(engine, "s", consume.ByID, nil); return err },
		"WithFinalErrors is redeliver": func() error {
			_, err := consume.Handler(engine, "s", consume.ByID, handle, consume.WithFinalErrors(consume.Redeliver))
			return err
		},
		"WithMaxDeliveries is -1": func() error {
			_, err := consume.Handler(engine, "s", consume.ByID, handle, consume.WithMaxDeliveries(-1))
			return err
		},
		"EXACTLY_ONCE": func() error {
			_, err := consume.Handler(engine, "s", consume.ByID, handle, guarantee(onlyonce.ExactlyOnce))
			return err
		},
		"Shadow is ShadowOn": func() error {
			_, err := consume.Handler(engine, "s", consume.ByID, handle, consume.WithPolicy(onlyonce.Policy{Shadow: onlyonce.ShadowOn}))
			return err
		},
	} {
		if err := attempt(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one about %q", err, want)
		}
	}
}

func TestKeysOfAMessage(t *testing.T) {
	t.Parallel()

	m := &consume.Message{ID: "id", Position: "orders/0/7", Headers: map[string][]string{"Order": {"o-1"}, "Two": {"1", "2"}}}

	for want, key := range map[string]consume.KeyFunc{"id": consume.ByID, "orders/0/7": consume.ByPosition, "o-1": consume.ByHeader("Order")} {
		if got, err := key(m); err != nil || got != want {
			t.Errorf("the key is %q (%v), want %q", got, err, want)
		}
	}

	for name, key := range map[string]consume.KeyFunc{"two": consume.ByHeader("Two"), "none": consume.ByHeader("None")} {
		if got, err := key(m); err == nil {
			t.Errorf("%s: the key is %q", name, got)
		}
	}

	if got, err := consume.ByPosition(&consume.Message{}); err == nil {
		t.Errorf("the key of a message without a position is %q", got)
	}
}

func TestDeadLettersHaveTheirCauseInHeaders(t *testing.T) {
	t.Parallel()

	d := consume.Decision{
		Action: consume.DeadLetter, Cause: consume.CausePoison,
		Err: errors.New("two\nlines \xff" + strings.Repeat("ü", 1000)),
	}
	h := d.DeadLetterHeaders(&consume.Message{Source: "orders", Position: "orders/0/7"})

	if h[consume.HeaderCause] != "poison" || h[consume.HeaderSource] != "orders" || h[consume.HeaderPosition] != "orders/0/7" ||
		!strings.HasPrefix(h[consume.HeaderError], "two lines  ü") || len(h[consume.HeaderError]) > 1024 {
		t.Errorf("the headers are %q", h)
	}
}
