package onceconnect_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestTheKeyOfAConnectHeaderMayBeAString(t *testing.T) {
	for name, test := range map[string]struct {
		opts  []connect.ClientOption
		equal bool
	}{
		"Connect":       {nil, true},
		"Connect, JSON": {[]connect.ClientOption{connect.WithProtoJSON()}, true},
		"gRPC":          {[]connect.ClientOption{connect.WithGRPC()}, false},
		"gRPC-Web":      {[]connect.ClientOption{connect.WithGRPCWeb()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			c := dial(t, w.url, test.opts...)

			c.payKeyed(t.Context(), "abc").must(t, onlyonce.StatusExecuted)

			if !test.equal { // quotes are a part of a key in metadata
				c.payKeyed(t.Context(), `"abc"`).must(t, onlyonce.StatusExecuted)

				return
			}

			c.payKeyed(t.Context(), `"abc"`).must(t, onlyonce.StatusReplayed)

			broken := c.payKeyed(t.Context(), `"abc`)
			broken.mustReject(t, onlyonce.ReasonKeyInvalid)

			if !strings.Contains(broken.err.Error(), "no closing quote") {
				t.Errorf("got %v", broken.err)
			}
		})
	}
}

func TestAClientSendsOneKeyInEveryProtocol(t *testing.T) {
	for _, key := range []string{"abc", `"abc"`, `"`, `"\`, `a"b`} {
		t.Run(key, func(t *testing.T) {
			w := newWorld(t, setup{})
			want := onlyonce.StatusExecuted

			for _, opts := range [][]connect.ClientOption{
				{connect.WithGRPC()}, nil, {connect.WithProtoJSON()}, {connect.WithGRPCWeb()},
			} {
				c := dialOnce(t, w.url, opts)
				c.payKeyed(onlyonce.ContextWithKey(t.Context(), key), "").must(t, want)
				want = onlyonce.StatusReplayed
			}
		})
	}
}

func TestAClientReadsItsKeyHeaderAsTheServerDoes(t *testing.T) {
	w := newWorld(t, setup{})
	c := dialOnce(t, w.url, nil)

	c.payKeyed(t.Context(), "abc").must(t, onlyonce.StatusExecuted)
	c.payKeyed(t.Context(), `"abc"`).must(t, onlyonce.StatusReplayed)
	c.payKeyed(onlyonce.ContextWithKey(t.Context(), "abc"), `"abc"`).must(t, onlyonce.StatusReplayed)

	err := c.payKeyed(t.Context(), `"abc`).err
	if reasonOf(t, err) != onlyonce.ReasonKeyInvalid || !strings.Contains(err.Error(), "no closing quote") {
		t.Errorf("got %v", err)
	}

	if verdict := onlyonce.VerdictOf(err); verdict != onlyonce.VerdictFinal {
		t.Errorf("the verdict is %v", verdict)
	}
}

func TestTheHandlerSeesTheHeaderAsItWasSent(t *testing.T) {
	w := newWorld(t, setup{})

	var seen http.Header

	w.pay = func(_ context.Context, req *payRequest) (*payResponse, error) {
		seen = req.Header().Clone()

		return connect.NewResponse(&shopv1.PayResponse{}), nil
	}

	dial(t, w.url).payKeyed(t.Context(), `"abc"`).must(t, onlyonce.StatusExecuted)

	if got := seen.Get(interceptor.KeyHeader); got != `"abc"` {
		t.Errorf("the handler sees %q", got)
	}
}
