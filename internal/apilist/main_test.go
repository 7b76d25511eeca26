package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheListsAreThoseOfTheCode(t *testing.T) {
	t.Parallel()

	const root = "../.."

	want, err := listsOf(root)
	if err != nil {
		t.Fatal(err)
	}

	paths, err := filepath.Glob(filepath.Join(root, folder, "*"))
	if err != nil {
		t.Fatal(err)
	}

	got := make(map[string][]byte)

	for _, path := range paths {
		if got[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}

	for _, name := range slices.Sorted(maps.Keys(want)) {
		if diff := cmp.Diff(string(got[name]), string(want[name])); diff != "" {
			t.Errorf("the API of %s has changed; if that is meant, `make api` writes the list anew:\n%s", name, diff)
		}

		delete(got, name)
	}

	for name := range got {
		t.Errorf("%s/%s is the list of no package; `make api` removes it", folder, name)
	}

	for _, name := range []string{"onlyonce.txt", "store.txt", "interceptor.txt", "oncehttp.txt", "otel.txt"} {
		if len(want[name]) == 0 {
			t.Errorf("%s is empty or missing", name)
		}
	}
}

func TestAListHasWhatUsersCanUseAndNothingElse(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	source := `// Package p is a package.
package p

import "fmt"

// T is a type.
type T struct {
	A int // a field
	b int
}

// M is a method.
func (t *T) M() { fmt.Println(t.b) }

func (t *T) m() {}

type hidden struct{ C int }

func (hidden) N() {}

// G is generic.
func G[E any](e E) E { return e }

var (
	// V has a value that users cannot see.
	V int = 3
	w = 4
)

const (
	K = iota
	L
)
`
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}

	text, err := listOf(dir)
	if err != nil {
		t.Fatal(err)
	}

	want := `func G[E any](e E) E

const (
	K = iota
	L
)

type T struct {
	A int
	// contains filtered or unexported fields
}

func (t *T) M()

var V int
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}

	if strings.Contains(string(text), "hidden") {
		t.Error("the list has a type that users cannot name")
	}
}
