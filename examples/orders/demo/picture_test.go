package demo

import (
	"os"
	"strings"
	"testing"
)

func mustBeAPicture(t *testing.T, path string) {
	t.Helper()

	page, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(page), "<svg") {
		t.Errorf("the page has no picture, %v", err)
	}
}
