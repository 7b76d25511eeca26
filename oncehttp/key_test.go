package oncehttp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

func TestRawAndQuotedKeysAreTheSame(t *testing.T) {
	w := start(t, setup{}, nil)

	for i, pair := range [][2]string{
		{"abc", `"abc"`},
		{`a"b`, `"a\"b"`},
		{`a\b`, `"a\\b"`},
		{"8e03978e-40d5-43e8-bc93-6894a57f9324", `"8e03978e-40d5-43e8-bc93-6894a57f9324"`},
		{strings.Repeat("k", 255), `"` + strings.Repeat("k", 255) + `"`},
		{"spaced", "  spaced\t"},
	} {
		w.post(pair[0]).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
		w.post(pair[1]).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
		w.mustHaveRun(int64(i) + 1)
	}
}

func TestF35MalformedKeysNeverReachTheStore(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		line := storetest.NewFaulty(memstore.New(), 1, storetest.Faults{LostRequest: 1})
		defer line.Close()

		w := start(t, setup{store: line.Store(), http2: http2}, nil)

		for name, keys := range map[string][]string{
			"empty":                  {""},
			"a space":                {"two words"},
			"only spaces":            {"   "},
			"oversized":              {strings.Repeat("k", 256)},
			"quoted and oversized":   {`"` + strings.Repeat("k", 256) + `"`},
			"two":                    {"one", "two"},
			"twice the same":         {"one", "one"},
			"one and an empty":       {"one", ""},
			"joined by a proxy":      {"one, two"},
			"two strings":            {`"one", "two"`},
			"two strings, no space":  {`"one","two"`},
			"empty string":           {`""`},
			"string with a space":    {`"two words"`},
			"open string":            {`"one`},
			"a quote":                {`"`},
			"open escape":            {`"one\`},
			"escape at the end":      {`"one\"`},
			"unknown escape":         {`"o\ne"`},
			"string with parameters": {`"one";v=1`},
			"not ASCII":              {"schlüssel"},
			"quoted, not ASCII":      {`"schlüssel"`},
			"not UTF-8":              {"\xff\xfe"},
			"a tab":                  {"a\tb"},
		} {
			t.Run(name, func(*testing.T) {
				r := w.request(http.MethodPost, "/payments", "", "{}")
				r.Header[oncehttp.KeyHeader] = keys
				w.send(r).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
			})
		}

		w.mustHaveRun(0)

		if n := line.Count(storetest.FaultLostRequest, storetest.OpClaim); n != 0 {
			t.Errorf("the store was asked %d times", n)
		}
	})
}

func TestStricterKeyRules(t *testing.T) {
	strict := onlyonce.StrictKeys()
	w := start(t, setup{options: policy(oncehttp.Policy{KeyRules: &strict})}, nil)

	for _, key := range []string{"short", "with.a.dot.in", strings.Repeat("k", 65)} {
		w.post(key).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
	}

	w.post("Order_4711-Retry").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
}

func TestTimeOrderedKeys(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{KeyRules: &onlyonce.KeyRules{TimeOrdered: true}})}, nil)

	w.post(onlyonce.NewKey()).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	w.post("8e03978e-40d5-43e8-bc93-6894a57f9324").mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
	w.post("01890a5d-ac96-774b-bcce-b302099a8057").mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyExpired)
	w.mustHaveRun(1)
}

// A key must not run again while it may still make a record.
func TestKeysWithATimeNeedTheRecordsOfErrors(t *testing.T) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	short := oncehttp.Policy{Policy: onlyonce.Policy{ErrorRetention: time.Hour}}
	shorter := oncehttp.WithPolicy(oncehttp.Policy{Policy: onlyonce.Policy{KeyLife: time.Hour}})

	for name, option := range map[string]oncehttp.Option{
		"time-ordered keys":               oncehttp.WithPolicy(oncehttp.Policy{KeyRules: &onlyonce.KeyRules{TimeOrdered: true}}),
		"the time of the first attempt":   oncehttp.WithPreset(oncehttp.RepeatableRequests()),
		"time-ordered keys, in one route": oncehttp.WithRoute("/", oncehttp.Policy{KeyRules: &onlyonce.KeyRules{TimeOrdered: true}}),
	} {
		_, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(), oncehttp.WithPolicy(short), option)
		if err == nil || !contains(err.Error(), "ErrorRetention is 1h0m0s") {
			t.Errorf("%s: %v", name, err)
		}

		if _, err = oncehttp.Middleware(engine, oncehttp.ScopeShared(), oncehttp.WithPolicy(short), option, shorter); err != nil {
			t.Errorf("%s with a shorter life: %v", name, err)
		}
	}

	if _, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(), oncehttp.WithPolicy(short)); err != nil {
		t.Errorf("other keys: %v", err)
	}
}
