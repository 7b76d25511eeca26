package imports_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	// This import keeps the module google.golang.org/genproto in go.mod, at the first version without the packages of
	// google.golang.org/genproto/googleapis/rpc. Without it, a service that requires an older version gets the old packages,
	// with which the interceptor does not compile.
	_ "google.golang.org/genproto/googleapis/type/date"
)

// The error details of the interceptor come from the module googleapis/rpc, although a service requires a genproto that has them, too.
func TestOldGenprotoOfAServiceIsReplaced(t *testing.T) {
	t.Parallel()

	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}

	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}

	const form = `module example.com/service

go 1.26.0

require (
	%[1]s v0.0.0
	google.golang.org/genproto %[2]s
)

replace %[1]s => %[3]s
`

	for _, old := range []string{
		"v0.0.0-20200305110556-506484158171", // its messages are older than protobuf's current API
		"v0.0.0-20200526211855-cb27e3aa2013", // grpc-go required it for years; ErrorInfo has a field Type and no Reason
		"v0.0.0-20230410155749-daa745c078e1", // one of the last with these packages
	} {
		files := map[string]string{
			"go.sum":  string(sums),
			"main.go": "package main\n\nimport _ \"" + module + "/interceptor\"\n\nfunc main() {}\n",
			"go.mod":  fmt.Sprintf(form, module, old, root),
		}

		dir := t.TempDir()

		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}

		const errdetails = "google.golang.org/genproto/googleapis/rpc/errdetails"

		got := listIn(t, dir, "-mod=mod", "-deps", "-f", `{{if eq .ImportPath "`+errdetails+`"}}{{.Module.Path}}{{end}}`, ".")
		if !slices.Equal(got, []string{"google.golang.org/genproto/googleapis/rpc"}) {
			t.Errorf("with genproto %s, the error details come from %q", old, got)
		}
	}
}
