package wires_test

import (
	"fmt"
	"strings"
)

const clientHead = `
## What a client does with an answer

The same answers come from real servers, and a client of the kit gets them. A cell has the time that the client waits before it sends the
call again with the same key, and what the answer means for the key.

- ` + "`no`" + `: the client does not send the call again. ` + "`backoff`" + `: it waits as its retry policy has it. A time: it waits as
  long as the server asks. The server chooses the time at random in this range; HTTP has whole seconds.
- ` + "`final`" + `: the answer will not change, and a new key is a new operation. ` + "`not executed`" + `: nothing has happened, and
  the same key may be tried again. ` + "`unknown`" + `: the call may have taken effect, so never use a new key. These are the verdicts of
  ` + "`onlyonce.VerdictOf`" + `, and of ` + "`oncehttp.OutcomeOf`" + ` on net/http.
- The error of a call without a key has the verdict ` + "`unknown`" + `, like every error that the kit does not know.
- A method is confirmed after an answer with ` + "`idempotency-status`" + `.

`

// clientTable is the part of docs/wires.md about clients.
func clientTable(found map[string]string) string {
	var text strings.Builder

	text.WriteString(clientHead)
	text.WriteString("| wire | client | server |\n| --- | --- | --- |\n")

	wires := clientWires()

	for i := range wires {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", wires[i].name, wires[i].client, wires[i].server)
	}

	text.WriteString("\n| |")

	for i := range wires {
		fmt.Fprintf(&text, " %s |", wires[i].name)
	}

	text.WriteString("\n| --- |" + strings.Repeat(" --- |", len(wires)) + "\n")

	rows := clientRows()

	for j := range rows {
		fmt.Fprintf(&text, "| %s |", rows[j].says)

		for i := range wires {
			fmt.Fprintf(&text, " %s |", found[wires[i].name+rows[j].says])
		}

		text.WriteString("\n")
	}

	return text.String()
}
