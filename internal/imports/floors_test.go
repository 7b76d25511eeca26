package imports_test

import (
	"os"
	"regexp"
	"testing"
)

// The page of versions names what go.mod requires of the modules that users share with the kit.
func TestThePageOfVersionsNamesWhatGoModRequires(t *testing.T) {
	t.Parallel()

	page, err := os.ReadFile("../../docs/versioning.md")
	if err != nil {
		t.Fatal(err)
	}

	file, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}

	required := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^\t?(\S+) (v?\d\S+)$`).FindAllStringSubmatch(string(file), -1) {
		required[line[1]] = line[2]
	}

	rows := regexp.MustCompile(`(?m)^\| (\S+) \| (v?\d\S+) \|`).FindAllStringSubmatch(string(page), -1)
	for _, row := range rows {
		name := row[1]
		if name == "Go" {
			name = "go"
		}

		if required[name] != row[2] {
			t.Errorf("docs/versioning.md has version %s of %s, go.mod has %q", row[2], row[1], required[name])
		}

		delete(required, name)
	}

	for _, onlyTests := range []string{"github.com/google/go-cmp", "github.com/grpc-ecosystem/go-grpc-middleware/v2", "go.uber.org/goleak"} {
		delete(required, onlyTests)
	}

	if len(rows) == 0 || len(required) > 0 {
		t.Errorf("docs/versioning.md has %d versions, and not those of %v", len(rows), required)
	}
}
