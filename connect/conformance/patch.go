package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// change is a text of the suite's own programs, and what takes its place.
type change struct{ file, from, to string }

// changes install the interceptors.
func changes() []change {
	const imports = "import (\n\t\"github.com/onlyonce-go/onlyonce/connect/conformance/installed\"\n"

	const server, client = "internal/app/referenceserver/server.go", "internal/app/referenceclient/impl.go"

	return []change{
		{server, "import (\n", imports},
		{server, "connect.WithInterceptors(interceptors...)", "connect.WithInterceptors(append(interceptors, installed.Server())...)"},
		{server, "mux.ServeHTTP(respWriter, req)", "protected.ServeHTTP(respWriter, req)"},
		{server, "handler := http.Handler(http.HandlerFunc(", "protected := installed.Handler(mux)\n\thandler := http.Handler(http.HandlerFunc("},
		{client, "import (\n", imports},
		{
			client, "connect.WithInterceptors(userAgentClientInterceptor{}, checkDeadlineInterceptor{})",
			"connect.WithInterceptors(userAgentClientInterceptor{}, checkDeadlineInterceptor{}, installed.Client())",
		},
	}
}

// patch copies the suite to a folder and installs the interceptors there.
func patch(suite, folder string) error {
	if err := os.CopyFS(folder, os.DirFS(suite)); err != nil {
		return fmt.Errorf("copying the suite: %w", err)
	}

	for _, c := range changes() {
		name := filepath.Join(folder, c.file)

		text, err := os.ReadFile(name) //nolint:gosec // the folder is this program's own
		if err != nil {
			return err
		}

		if strings.Count(string(text), c.from) != 1 {
			return fmt.Errorf("%s of the suite has not once the text %q: change patch.go", c.file, c.from)
		}

		// A module's files are read-only in the cache, and so is the copy.
		if err := os.Chmod(name, 0o600); err != nil {
			return err
		}

		changed := strings.Replace(string(text), c.from, c.to, 1)
		if err := os.WriteFile(name, []byte(changed), 0o600); err != nil { //nolint:gosec // the folder is this program's own
			return err
		}
	}

	return nil
}
