package wires_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write docs/wires.md")

const pagePath = "../../docs/wires.md"

const pageHead = `# The contract on every wire

**Who needs this page:** authors of clients, and everybody who chooses how clients reach a service.

The same cases run over real connections on every wire. A cell has what a client sees: a code of gRPC, a status of HTTP, or yes.

` + "`go -C internal/wires test -run TestContract . -args -write`" + ` writes this page, and the test fails if the page is not up to date.

`

const pageDifferences = `
## Where wires differ from the contract

- **Connect** gives each code [a status of HTTP of its own](https://connectrpc.com/docs/protocol#error-codes). So a rejection over Connect
  has that status, and not the one of the contract's column "over HTTP". Clients of Connect read the code and the details. There is no
  ` + "`Retry-After`" + `: the delay is in the RetryInfo and in ` + "`Trailer-Grpc-Retry-Pushback-Ms`" + `.
- **A gateway** sends the rejection of a stream as grpc-gateway sends the errors of streams: ` + "`{\"error\": …}`" + ` with the details
  of gRPC, and not a problem. Nothing runs. A first answer with CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED or INTERNAL is
  never ` + "`executed`" + `, not even if its handler has marked it ` + "`Final`" + `: see [docs/gateways.md](gateways.md#grpc-gateway).
- **net/http** answers a body that is too large with 413. Its handlers may answer in parts; such an answer is never kept, and its handler
  never runs twice.
- **Metadata of errors**: over gRPC and Connect, the replay of an error has the handler's header in the trailer, where the first answer of
  grpc-go has it in the header.
`

// page is docs/wires.md.
func page(found map[string]map[string]cell, clients map[string]string) string {
	var (
		text  strings.Builder
		notes []string
	)

	text.WriteString(pageHead)
	text.WriteString("| wire | server | client of the test |\n| --- | --- | --- |\n")

	for _, w := range wires() {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", w.name, w.server, w.client)
	}

	text.WriteString(pageDifferences)

	for _, section := range contract() {
		fmt.Fprintf(&text, "\n## %s\n\n| |", section.title)

		for _, w := range wires() {
			fmt.Fprintf(&text, " %s |", w.name)
		}

		text.WriteString("\n| --- |" + strings.Repeat(" --- |", len(wires())) + "\n")

		for _, r := range section.rows {
			fmt.Fprintf(&text, "| %s |", r.says)

			for _, w := range wires() {
				c := found[w.name][section.title+r.says]
				if c.note == "" {
					fmt.Fprintf(&text, " %s |", c.text)

					continue
				}

				i := slices.Index(notes, c.note)
				if i < 0 {
					i = len(notes)
					notes = append(notes, c.note)
				}

				fmt.Fprintf(&text, " – [%d](#note-%d) |", i+1, i+1)
			}

			text.WriteString("\n")
		}
	}

	text.WriteString(clientTable(clients))
	text.WriteString(crossTable())
	text.WriteString("\n## Why a wire does not have a row\n\n")

	for i, note := range notes {
		fmt.Fprintf(&text, "%d. <a id=\"note-%d\"></a>%s\n", i+1, i+1, note)
	}

	return text.String()
}

// checkPage compares the page with the tests' results, or writes it.
func checkPage(t *testing.T, want string) {
	t.Helper()

	if *write {
		if err := os.WriteFile(pagePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}

		return
	}

	is, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}

	if string(is) != want {
		t.Error("docs/wires.md is not up to date: run go -C internal/wires test -run TestContract . -args -write")
	}
}
