package interceptor

import (
	"strings"
	"testing"

	fingerprintv1 "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

// Otherwise all who leave the field out would share the default as their key, or as their tenant.
func TestFieldWithADefaultCarriesNothingUntilItIsSetAndIsNoKey(t *testing.T) {
	t.Parallel()

	fd := new(fingerprintv1.Legacy).ProtoReflect().Descriptor().Fields().ByName("text")
	field := newRequestField(fd)

	if got, set, ok := field.in(new(fingerprintv1.Legacy)); got != "" || set || !ok {
		t.Errorf("a field that is not set carries %q, %t", got, ok)
	}

	if got, set, ok := field.in(&fingerprintv1.Legacy{Text: new("own")}); got != "own" || !set || !ok {
		t.Errorf("a field that is set carries %q, %t", got, ok)
	}

	var a annotations
	if a.mustBeSingle(fd, "the key") {
		t.Error("a field with a default may be the key")
	}

	if len(a.fieldProblems) != 1 || !strings.Contains(a.fieldProblems[0].Error(), "has a default") {
		t.Errorf("the problems are %v", a.fieldProblems)
	}
}
