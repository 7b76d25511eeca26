package canonicaljson_test

import (
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/canonicaljson"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ = oncehttp.Policy{Canonical: canonicaljson.Body}

func body(t *testing.T, text string) (string, bool) {
	t.Helper()

	canonical, ok := canonicaljson.Body(http.Header{"Content-Type": {"application/json; charset=utf-8"}}, []byte(text))

	return string(canonical), ok
}

func TestSameJSONHasOneForm(t *testing.T) {
	for _, same := range [][]string{
		{`{"a":1,"b":[true,null]}`, ` { "b" : [ true , null ] , "a" : 1 } `, "{\n\"a\":1.0,\"b\":[true,null]}", `{"a":10e-1,"b":[true,null]}`},
		{`1.23456789012345`, `123456789012345e-14`},
		{`2.3e-308`, `23e-309`},
		{`1e-30`, `0.000000000000000000000000000001`},
		{`-2.3e-308`, `-23e-309`},
		{`{"ü":"€"}`, `{"\u00fc":"\u20ac"}`},
		{`"text"`, `"\u0074ext"`},
		{`0`, `-0`, `0.0`},
		{`100`, `1e2`, `1E+2`, `100.00`},
		{`9007199254740992`},
	} {
		want, ok := body(t, same[0])
		if !ok {
			t.Errorf("%s has no canonical form", same[0])
		}

		for _, text := range same {
			if got, ok := body(t, text); !ok || got != want {
				t.Errorf("%s is %q, %v; want %q", text, got, ok, want)
			}
		}
	}
}

func TestOtherJSONHasAnotherForm(t *testing.T) {
	seen := make(map[string]string)

	for _, text := range []string{
		`1`, `2`, `"1"`, `[1]`, `{"a":1}`, `{"a":"1"}`, `{"b":1}`, `{"a":1,"b":1}`, `[1,2]`, `[2,1]`, `null`, `false`, `""`, `{}`, `[]`, `0`,
		`123456789012345`, `123456789012346`, `0.1`, `0.10000000000001`, `9007199254740991`, `9007199254740992`,
	} {
		got, ok := body(t, text)
		if other, taken := seen[got]; !ok || taken {
			t.Errorf("%s is %q, %v, as %s", text, got, ok, other)
		}

		seen[got] = text
	}
}

func TestWhatIsNotComparedInCanonicalForm(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{`, `{"a":1}}`, `1 2`, `{"a":1,"a":2}`, `nul`, "\xff", `9007199254740993`, `0.1000000000000000055511151231257827`, `1e400`,
		`"\ud800\ud800"`, `{"\udc00\udc01":1}`, `"\ufffd"`, "\"\xff\"",
		`1e-400`, `4e-324`, `-5e-324`, `[1,12345678901234567890]`, strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
	} {
		if got, ok := body(t, text); ok {
			t.Errorf("%.40s is %q", text, got)
		}
	}

	for name, header := range map[string]http.Header{
		"no type": {}, "text": {"Content-Type": {"text/plain"}},
		"compressed":     {"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
		"compressed, br": {"Content-Type": {"application/json"}, "Content-Encoding": {"br"}},
		"another +json":  {"Content-Type": {"text/x+json"}},
	} {
		if _, ok := canonicaljson.Body(header, []byte(`1`)); ok {
			t.Errorf("%s has a canonical form", name)
		}
	}

	for _, media := range []string{"application/merge-patch+json", "Application/JSON", " application/json ;charset=utf-8"} {
		if _, ok := canonicaljson.Body(http.Header{"Content-Type": {media}}, []byte(`1`)); !ok {
			t.Errorf("%s has no canonical form", media)
		}
	}

	if _, ok := body(t, strings.Repeat("[", 1000)+strings.Repeat("]", 1000)); !ok {
		t.Error("a body that is 1000 deep has no canonical form")
	}
}

func FuzzBody(f *testing.F) {
	f.Add(`{"a":[1,2.5,"x",null,true]}`)
	f.Add(`1e5`)

	f.Fuzz(func(t *testing.T, text string) {
		got, ok := body(t, text)
		if !ok {
			return
		}

		if again, ok := body(t, got); !ok || again != got {
			t.Errorf("%q is %q, and that is %q, %v", text, got, again, ok)
		}
	})
}
