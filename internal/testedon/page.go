//go:build unix

package main

import (
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

const head = `# Servers that the stores are tested on

**Who needs this page:** those who choose the version of a server.

The tests below start real servers of these versions. A test fails when a server has another version than this page lists.
` + "`make test`" + ` runs on each change. ` + "`make soak`" + ` runs before releases, and ` + "`make test-servers`" + ` is a part of it. It
downloads its servers and installs nothing.

Every server passes the whole contract of a store (` + "`store/storetest`" + `), which ` + "`store/redisstore`" + ` and
` + "`internal/sqlstoretest`" + ` run. PgBouncer passes it for leased runs.

` + "`go run ./internal/testedon`" + ` writes this page from [the matrix](../internal/servers/matrix.go).

| server | version | comes from | tested by | tests |
| --- | --- | --- | --- | --- |
`

// page returns the content of docs/tested.md.
func page() string {
	var text strings.Builder

	text.WriteString(head)

	for _, tested := range servers.Matrix() {
		suites := make([]string, len(tested.Suites))
		for i, suite := range tested.Suites {
			suites[i] = suite.String()
		}

		fmt.Fprintf(&text, "| %s | %s | %s | `make %s` | %s |\n", tested.Server, strings.TrimSuffix(tested.Version, "."),
			tested.Origin, tested.Target, strings.Join(suites, "<br>"))
	}

	return text.String()
}
