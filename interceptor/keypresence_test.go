package interceptor_test

import (
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// A key field with presence, and one without.
func keyWithPresence() declaration {
	return declaration{request: field("request_id", 1, optionalA, "key: true") + `oneof_decl { name: "_request_id" }`}
}

func keyWithoutPresence() declaration { return declaration{request: str("request_id", 1, "key: true")} }

func TestF82_AKeyThatIsPresentAndEmptyIsInvalidWhereverItIs(t *testing.T) {
	for name, test := range map[string]struct {
		declared declaration
		metadata []string
		fields   []string
	}{
		"a field with presence": {keyWithPresence(), nil, []string{"request_id", ""}},
		"metadata":              {keyWithPresence(), []string{""}, nil},
		"both":                  {keyWithPresence(), []string{""}, []string{"request_id", ""}},
		"a field with presence beside a good metadata": {keyWithPresence(), []string{"key"}, []string{"request_id", ""}},
		"metadata beside a good field":                 {keyWithPresence(), []string{""}, []string{"request_id", "key"}},
		"metadata, where the field has no presence":    {keyWithoutPresence(), []string{""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := startDeclared(t, test.declared)

			_, a := b.call(withKey(t.Context(), test.metadata...), b.conn, test.fields...)
			a.mustBe(t, keyInvalid)
			b.mustHaveRun(t, 0)
		})
	}
}

func TestF82_AKeyFieldThatIsNotPresentIsNoKey(t *testing.T) {
	for name, test := range map[string]struct {
		declared declaration
		fields   []string
	}{
		"with presence, not set":   {keyWithPresence(), nil},
		"without presence":         {keyWithoutPresence(), nil},
		"without presence, set ''": {keyWithoutPresence(), []string{"request_id", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			b := startDeclared(t, test.declared)

			_, a := b.call(t.Context(), b.conn, test.fields...)
			if a.err != nil || len(a.trailer.Get(interceptor.StatusTrailer)) != 0 {
				t.Errorf("without a key: %v, trailer %v", a.err, a.trailer)
			}

			_, a = b.call(withKey(t.Context(), "key"), b.conn, test.fields...)
			a.mustHaveStatus(t, onlyonce.StatusExecuted)
			b.mustHaveRun(t, 2)
		})
	}
}

func TestF82_TheClientDoesNotSendAKeyThatIsPresentAndEmpty(t *testing.T) {
	b := startDeclared(t, keyWithPresence())

	dial, err := interceptor.DialOptions()
	if err != nil {
		t.Fatal(err)
	}

	conn := b.dial(t, dial...)

	_, a := b.call(t.Context(), conn, "request_id", "")
	if info := a.info(t); info.GetReason() != string(onlyonce.ReasonKeyInvalid) || len(a.trailer) != 0 {
		t.Errorf("the client got %v, trailer %v, want KEY_INVALID of its own", a.err, a.trailer)
	}

	b.mustHaveRun(t, 0)

	_, a = b.call(t.Context(), conn)
	a.mustHaveStatus(t, onlyonce.StatusExecuted)
}
