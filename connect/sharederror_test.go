package onceconnect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
)

// Calls that run at the same time may return one error. A change of it would be a data race.
func TestAnErrorThatCallsShareIsNotChanged(t *testing.T) {
	w := newWorld(t, setup{})
	shared := connect.NewError(connect.CodeNotFound, errors.New("no such order"))
	before := fmt.Sprintf("%#v", *shared)

	w.pay = func(context.Context, *payRequest) (*payResponse, error) { return nil, shared }

	for _, said := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		dial(t, w.url).payKeyed(t.Context(), "order-1").must(t, said)
	}

	if after := fmt.Sprintf("%#v", *shared); after != before {
		t.Errorf("the error is %s, and was %s", after, before)
	}
}
