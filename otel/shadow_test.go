package onceotel_test

import (
	"context"
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A call in shadow mode is not protected, so other metrics do not count it.
func TestCallsInShadowModeAreCountedApart(t *testing.T) {
	w := newWatch(t)

	engine, err := onlyonce.New(memstore.New(), append(w.EngineOptions(), onlyonce.WithPolicy(onlyonce.Policy{Shadow: onlyonce.ShadowOn}))...)
	if err != nil {
		t.Fatal(err)
	}

	ctx, span := w.tracers.Tracer("").Start(t.Context(), "call")

	for range 2 {
		_, err := engine.Do(ctx, onlyonce.Call{Method: "/bank/Pay", Key: "order-1"}, func(context.Context) ([]byte, error) {
			return nil, errors.New("the connection broke")
		})
		if err == nil {
			t.Error("the handler's error is lost")
		}
	}

	if err := engine.Drain(t.Context()); err != nil {
		t.Error(err)
	}

	span.End()

	all := w.collect(t)
	for name, points := range all {
		if name != "onlyonce.shadow.calls" && sum(map[string][]point{name: points}, "onlyonce.") > 0 {
			t.Errorf("%s counts a call in shadow mode: %v", name, points)
		}
	}

	if got := sum(all, "onlyonce.shadow.calls"); got != 2 {
		t.Errorf("%v calls in shadow mode are counted: %v", got, all)
	}

	if shown := w.span(t, "call", ""); len(shown.Attributes) != 0 {
		t.Errorf("the span of the call has %v, as if it were protected", shown.Attributes)
	}
}
