package retry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/retry"
)

func ExampleServiceConfig() {
	config, err := retry.ServiceConfig(retry.Policy{MaxAttempts: 4}, "/payments.v1.PaymentService/Pay")
	if err != nil {
		panic(err)
	}

	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(config), "", "  "); err != nil {
		panic(err)
	}

	fmt.Println(indented.String())
	// Output:
	// {
	//   "methodConfig": [
	//     {
	//       "name": [
	//         {
	//           "service": "payments.v1.PaymentService",
	//           "method": "Pay"
	//         }
	//       ],
	//       "retryPolicy": {
	//         "maxAttempts": 4,
	//         "initialBackoff": "0.05s",
	//         "maxBackoff": "5s",
	//         "backoffMultiplier": 2,
	//         "retryableStatusCodes": [
	//           "UNAVAILABLE"
	//         ]
	//       }
	//     }
	//   ]
	// }
}

func TestServiceConfigHasTheWholePolicy(t *testing.T) {
	t.Parallel()

	budget, err := retry.NewBudget(10, 0.125)
	if err != nil {
		t.Fatal(err)
	}

	got, err := retry.ServiceConfig(retry.Policy{
		MaxAttempts: 2, BaseDelay: time.Nanosecond, MaxDelay: time.Hour, Multiplier: 1.5, Budget: budget,
	}, "/a.S/")

	const want = `{"methodConfig":[{"name":[{"service":"a.S"}],"retryPolicy":{"maxAttempts":2,"initialBackoff":"0.000000001s",` +
		`"maxBackoff":"3600s","backoffMultiplier":1.5,"retryableStatusCodes":["UNAVAILABLE"]}}],` +
		`"retryThrottling":{"maxTokens":10,"tokenRatio":0.125}}`

	if got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}

	// The default of the first delay is capped, as in Do.
	if got, err := retry.ServiceConfig(retry.Policy{MaxDelay: time.Millisecond}); err != nil ||
		!strings.Contains(got, `"name":[{}]`) || !strings.Contains(got, `"initialBackoff":"0.001s","maxBackoff":"0.001s"`) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestServiceConfigRefusesWhatItCannotSay(t *testing.T) {
	t.Parallel()

	large, _ := retry.NewBudget(1001, 1)
	uneven, _ := retry.NewBudget(1.5, 1)

	for name, tt := range map[string]struct {
		policy retry.Policy
		method string
		want   string
	}{
		"a timeout of attempts": {retry.Policy{AttemptTimeout: time.Second}, "/a.S/M", "AttemptTimeout 1s"},
		"a bound in time":       {retry.Policy{MaxElapsed: time.Second}, "/a.S/M", "MaxElapsed 1s"},
		"no retry":              {retry.Policy{MaxAttempts: 1}, "/a.S/M", "MaxAttempts 1"},
		"a large budget":        {retry.Policy{Budget: large}, "/a.S/M", "1001 tokens"},
		"an uneven budget":      {retry.Policy{Budget: uneven}, "/a.S/M", "1.5 tokens"},
		"no policy at all":      {retry.Policy{MaxAttempts: -1}, "/a.S/M", "MaxAttempts is -1"},
		"no method":             {retry.Policy{}, "a.S/M", `"a.S/M" is not the full name`},
		"no service":            {retry.Policy{}, "//M", "full name"},
		"too many slashes":      {retry.Policy{}, "/a/b/c", "full name"},
	} {
		if got, err := retry.ServiceConfig(tt.policy, tt.method); got != "" || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// gRPC refuses a service config that names a method twice.
func TestServiceConfigNamesEachMethodOnce(t *testing.T) {
	t.Parallel()

	const want = `"name":[{"service":"a.S","method":"M"},{"service":"a.S"}]`

	got, err := retry.ServiceConfig(retry.Policy{}, "/a.S/M", "/a.S/", "/a.S/M", "/a.S/")
	if err != nil || !strings.Contains(got, want) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestBudgetsAreOneForEachTarget(t *testing.T) {
	t.Parallel()

	if b, err := retry.NewBudgets(0, 1); b != nil || err == nil {
		t.Errorf("%v, %v", b, err)
	}

	b, err := retry.NewBudgets(10, 0.1)
	if err != nil {
		t.Fatal(err)
	}

	first := b.For("a")
	if again := b.For("a"); first != again || first == b.For("b") || b.For("b").Tokens() != 10 || len(b.Tokens()) != 2 {
		t.Errorf("the budgets have %v", b.Tokens())
	}
}
