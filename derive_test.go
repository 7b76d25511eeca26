package onlyonce_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// inRun calls fn in a run.
func inRun(t *testing.T, call onlyonce.Call, fn func(ctx context.Context)) {
	t.Helper()

	_, err := newEngine(t, memstore.New()).Do(t.Context(), call, func(ctx context.Context) ([]byte, error) {
		fn(ctx)

		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readVectors reads the vectors of a file in testdata.
func readVectors[T any](t *testing.T, name string) []T {
	t.Helper()

	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}

	var file struct {
		Vectors []T `json:"vectors"`
	}

	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}

	if len(file.Vectors) < 25 {
		t.Fatalf("%s has %d vectors", name, len(file.Vectors))
	}

	return file.Vectors
}

// derivedKeys returns the key that a run derives for one target, in all forms. The last form may be empty.
func derivedKeys(t *testing.T, ctx context.Context, kind, target string) (key, uuid, ordered string) { //nolint:revive // t first
	t.Helper()

	if kind == "external" {
		key, err := onlyonce.DeriveExternal(ctx, target)
		if err != nil {
			t.Fatal(err)
		}

		return key, "", ""
	}

	call, err := onlyonce.DeriveCall(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	defer call.End(nil)

	ordered, _ = call.TimeOrdered()

	return call.Key(), call.UUID(), ordered
}

// The vectors come from a second implementation of docs/derived-keys.md.
func TestDerivedKeysAreThoseOfTheVectors(t *testing.T) {
	t.Parallel()

	type vector struct {
		Name, Kind, Scope, Method, Key, Target, Step string
		Derived, UUID                                string
		TimeOrdered                                  string `json:"time_ordered"`
	}

	seen := make(map[string]string)

	for _, v := range readVectors[vector](t, "derived-keys.json") {
		inRun(t, onlyonce.Call{Scope: v.Scope, Method: v.Method, Key: v.Key}, func(ctx context.Context) {
			key, uuid, ordered := derivedKeys(t, onlyonce.WithStep(ctx, v.Step), v.Kind, v.Target)
			if key != v.Derived || uuid != v.UUID || ordered != v.TimeOrdered {
				t.Errorf("%s: %s, %s, %s; want %s, %s, %s", v.Name, key, uuid, ordered, v.Derived, v.UUID, v.TimeOrdered)
			}

			if other, twice := seen[key]; twice {
				t.Errorf("%s and %s have the same key", v.Name, other)
			}

			seen[key] = v.Name

			if err := onlyonce.StrictKeys().Check(key); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		})
	}
}

func FuzzDerivedKeysDiffer(f *testing.F) {
	f.Add("", "/a.S/M", "key", "/b.S/M", "", "", "/a.S/M", "key", "/b.S/M", "line-7")
	f.Add("a", "b", "c", "d", "e", "ab", "", "c", "d", "e")
	f.Add("", "m", "0197f2c4-5b1e-7a33-8f10-2b9c6d0e1f42", "t", "s", "", "m", "0197F2C4-5B1E-7A33-8F10-2B9C6D0E1F42", "t", "s")
	f.Add("\x00", "m\xff", "k", "\x00\x00\x00\x00\x00\x00\x00\x01", "", "", "m", "k", "t", "\x80")

	form := regexp.MustCompile(`^[dx]1-[a-z2-7]{52}$`)
	uuids := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

	f.Fuzz(func(t *testing.T, scope1, method1, key1, target1, step1, scope2, method2, key2, target2, step2 string) {
		if (onlyonce.KeyRules{}).Check(key1) != nil || (onlyonce.KeyRules{}).Check(key2) != nil || target1 == "" || target2 == "" {
			return
		}

		same := scope1 == scope2 && method1 == method2 && key1 == key2 && target1 == target2 && step1 == step2

		var all [2][]string

		for i, of := range [...][5]string{{scope1, method1, key1, target1, step1}, {scope2, method2, key2, target2, step2}} {
			inRun(t, onlyonce.Call{Scope: of[0], Method: of[1], Key: of[2]}, func(ctx context.Context) {
				ctx = onlyonce.WithStep(ctx, of[4])
				key, uuid, ordered := derivedKeys(t, ctx, "call", of[3])
				external, _, _ := derivedKeys(t, ctx, "external", of[3])
				all[i] = []string{key, external, uuid}

				if !form.MatchString(key) || !form.MatchString(external) || key[3:] == external[3:] || !uuids.MatchString(uuid) {
					t.Errorf("the keys are %q, %q and %q", key, external, uuid)
				}

				made, is := onlyonce.KeyTime(of[2])
				if then, ok := onlyonce.KeyTime(ordered); ok != is || is && !then.Equal(made) {
					t.Errorf("the time-ordered key is %q, derived from %q", ordered, of[2])
				}
			})
		}

		for i := range all[0] {
			if (all[0][i] == all[1][i]) != same {
				t.Errorf("the keys are %q and %q", all[0][i], all[1][i])
			}
		}
	})
}

func TestNothingIsDerivedOutsideOfARun(t *testing.T) {
	t.Parallel()

	if call, err := onlyonce.DeriveCall(t.Context(), method); call != nil || !errors.Is(err, onlyonce.ErrNoRun) {
		t.Errorf("DeriveCall = %v, %v", call, err)
	}

	if key, err := onlyonce.DeriveExternal(t.Context(), "charge"); key != "" || !errors.Is(err, onlyonce.ErrNoRun) ||
		!strings.Contains(err.Error(), "charge") {
		t.Errorf("DeriveExternal = %q, %v", key, err)
	}
}

func TestKeyForOutsideIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	inRun(t, pay("k"), func(ctx context.Context) {
		first, _, _ := derivedKeys(t, ctx, "external", "charge")
		again, _, _ := derivedKeys(t, context.WithoutCancel(ctx), "external", "charge")
		line, _, _ := derivedKeys(t, onlyonce.WithStep(ctx, "line-7"), "external", "charge")

		if first != again || first == line || len(first) > 64 {
			t.Errorf("the keys are %q, %q and %q", first, again, line)
		}

		if key, err := onlyonce.DeriveExternal(ctx, ""); key != "" || err == nil || errors.Is(err, onlyonce.ErrNoRun) {
			t.Errorf("without a name: %q, %v", key, err)
		}
	})
}
