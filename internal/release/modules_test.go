package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequiredModulesAreTaggedFirst(t *testing.T) {
	t.Parallel()

	const root = "example.com/kit"

	sorted, err := published([]module{
		{folder: "", path: root},
		{folder: "bench", path: root + "/bench", requires: []string{root}},
		{folder: "a", path: root + "/a", requires: []string{root, root + "/z", root + "/internal/tested"}},
		{folder: "a/internal/alerts", path: root + "/a/internal/alerts", requires: []string{root + "/a"}},
		{folder: "internal/tested", path: root + "/internal/tested", requires: []string{root}},
		{folder: "internal/untested", path: root + "/internal/untested", requires: []string{root}},
		{folder: "z", path: root + "/z", requires: []string{root}},
	})
	if err != nil {
		t.Fatal(err)
	}

	tags := make([]string, 0, len(sorted))
	for _, m := range sorted {
		tags = append(tags, m.tag("v0.1.0"))
	}

	if diff := cmp.Diff([]string{"v0.1.0", "z/v0.1.0", "internal/tested/v0.1.0", "a/v0.1.0"}, tags); diff != "" {
		t.Error(diff)
	}
}

func TestModulesThatCannotBeReleasedAreRefused(t *testing.T) {
	t.Parallel()

	loop := []module{{folder: "a", path: "a", requires: []string{"b"}}, {folder: "b", path: "b", requires: []string{"a"}}}
	if _, err := published(loop); err == nil || !strings.Contains(err.Error(), "requires itself") {
		t.Errorf("two modules that require each other: %v", err)
	}

	alone := []module{{folder: "a", path: "a", requires: []string{"c"}}}
	if _, err := published(alone); err == nil || !strings.Contains(err.Error(), "does not have") {
		t.Errorf("a module that requires one that is gone: %v", err)
	}

	bare := []module{{folder: "a", path: "a", requires: []string{"b"}}}
	if err := checkReplaced(bare); err == nil {
		t.Error("a module requires another one without replacing it")
	}

	bare[0].replaces = []string{"b"}
	if err := checkReplaced(bare); err != nil {
		t.Error(err)
	}
}

func TestChecksumsAreInTheOrderOfTheGoCommand(t *testing.T) {
	t.Parallel()

	const before = `example.com/a v1.0.0 h1:a
example.com/a v1.0.0/go.mod h1:b
example.com/kit-tools v1.0.0/go.mod h1:c
example.com/z v1.0.0/go.mod h1:z
`

	got := addSums(before, []sums{
		{Path: "example.com/kit", Version: "v0.1.0", Sum: "h1:1", GoModSum: "h1:2"},
		{Path: "example.com/kit/otel", Version: "v0.1.0", Sum: "h1:3", GoModSum: "h1:4"},
	})

	want := `example.com/a v1.0.0 h1:a
example.com/a v1.0.0/go.mod h1:b
example.com/kit v0.1.0 h1:1
example.com/kit v0.1.0/go.mod h1:2
example.com/kit-tools v1.0.0/go.mod h1:c
example.com/kit/otel v0.1.0 h1:3
example.com/kit/otel v0.1.0/go.mod h1:4
example.com/z v1.0.0/go.mod h1:z
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
