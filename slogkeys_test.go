package onlyonce_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Every event that an engine can send is written without the key.
func TestSlogObserverHashesKeysUnlessAllowed(t *testing.T) {
	t.Parallel()

	const key = "card-4711"

	logged := func(opts ...onlyonce.SlogOption) string {
		var out bytes.Buffer

		observer := onlyonce.SlogObserver(slog.New(handlerWithoutTime(&out, slog.LevelDebug)), opts...)
		for kind := range onlyonce.EventKind(100) {
			observer.Observe(t.Context(), onlyonce.Event{Kind: kind, Method: "/pay", Key: key})
		}

		return out.String()
	}

	if hashed := logged(); strings.Contains(hashed, key) || strings.Count(hashed, "key_hash=") != 100 {
		t.Errorf("the lines are\n%s", hashed)
	}

	if readable := logged(onlyonce.SlogReadableKeys()); strings.Count(readable, "key="+key) != 100 || strings.Contains(readable, "key_hash") {
		t.Errorf("the lines are\n%s", readable)
	}
}

// The default observer writes no key either.
func TestDefaultObserverHashesKeys(t *testing.T) {
	var out bytes.Buffer

	before := slog.Default()
	defer slog.SetDefault(before)

	slog.SetDefault(slog.New(handlerWithoutTime(&out, slog.LevelDebug)))

	e := newEngine(t, memstore.New())
	do(t, e, pay("card-4711"), new(payments).failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

	if line := out.String(); strings.Contains(line, "card-4711") || !strings.Contains(line, "key_hash=") {
		t.Errorf("the line is %q", line)
	}
}
