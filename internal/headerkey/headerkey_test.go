package headerkey_test

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/headerkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAStringOfAHeaderIsItsKey(t *testing.T) {
	sent := []string{"abc", `"abc"`, `"a\"b"`, `a"b`}
	given := slices.Clone(sent)

	if got, want := headerkey.Metadata(given), []string{"abc", "abc", `a"b`, `a"b`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	if !slices.Equal(given, sent) {
		t.Errorf("the header has become %q", given)
	}
}

func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{"abc", `"abc"`, `"abc`, `"a\"b"`, "", "\xff", strings.Repeat("k", 256), `"\`} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, value string) {
		key, err := headerkey.Parse(value)
		passed := headerkey.Metadata([]string{value})[0]
		valid := onlyonce.KeyRules{}.Check(passed) == nil

		if err == nil && (!valid || passed != key) || err != nil && valid {
			t.Errorf("%q is the key %q, %v, and passes as %q", value, key, err, passed)
		}

		if len(passed) > 512 || strings.ContainsFunc(passed, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q passes as %q, which metadata cannot have", value, passed)
		}
	})
}

func TestOnlyTheRejectionOfAnInvalidKeyIsExplained(t *testing.T) {
	rejection := func(reason onlyonce.Reason) *status.Status {
		st, err := status.New(codes.InvalidArgument, "the server's").WithDetails(&errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Description: "the server's", Reason: string(reason)}},
		})
		if err != nil {
			t.Fatal(err)
		}

		return st
	}

	for _, test := range []struct {
		sent      []string
		reason    onlyonce.Reason
		explained bool
	}{
		{[]string{`"abc`}, onlyonce.ReasonKeyInvalid, true},
		{[]string{`"abc`}, onlyonce.ReasonKeyMissing, false},
		{[]string{`"abc"`}, onlyonce.ReasonKeyInvalid, false}, // the policy of the server refuses it
		{[]string{`"abc`, `"abc`}, onlyonce.ReasonKeyInvalid, false},
		{nil, onlyonce.ReasonKeyInvalid, false},
	} {
		st := headerkey.Explain(rejection(test.reason), test.sent)

		bad, ok := st.Details()[0].(*errdetails.BadRequest)
		if !ok {
			t.Fatalf("got %v", st)
		}

		for _, text := range []string{st.Message(), bad.GetFieldViolations()[0].GetDescription()} {
			if got := strings.Contains(text, "no closing quote"); got != test.explained {
				t.Errorf("%q, %s: %q", test.sent, test.reason, text)
			}
		}
	}
}
