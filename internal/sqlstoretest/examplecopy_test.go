package sqlstoretest_test

import (
	"os"
	"strings"
	"testing"
)

func TestTheExampleOfPackageSqlstoreIsTheOneThatRunsHere(t *testing.T) {
	t.Parallel()

	const documented, run = "../../store/sqlstore/example_test.go", "example_test.go"

	shown, shownOutput := example(t, documented, "\t// It prints:\n")
	own, output := example(t, run, "\t// Output:\n")

	if shown != own {
		t.Errorf("the code of %s differs from that of %s", documented, run)
	}

	if shownOutput != output {
		t.Errorf("%s prints %q, and %s documents %q", run, output, documented, shownOutput)
	}
}

// example returns the body of an example and the words of its output, which follow a heading.
func example(t *testing.T, file, heading string) (code, output string) {
	t.Helper()

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	_, body, found := strings.Cut(string(text), "func Example() {\n")
	code, output, isDocumented := strings.Cut(body, heading)

	if !found || !isDocumented {
		t.Fatalf("%s has no example with %q", file, heading)
	}

	return code, strings.Join(strings.Fields(strings.ReplaceAll(output, "//", "")), " ")
}
