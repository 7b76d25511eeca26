//go:build unix

package main

import (
	"strings"
	"testing"
)

func TestEveryCommandWorksOnMySQL(t *testing.T) {
	t.Parallel()

	address := mysqlURL(t)
	command(t, address, "list").mustEnd(t, statusOK).mustSay(t, "No records.")

	id := unsettled(t, address).String()

	command(t, address, "list", "--show-key").mustEnd(t, statusOK).mustSay(t, id[:shortID], "held", "order-17").mustNotSay(t, "\x1b")
	command(t, address, "show", "--method", evilMethod, "--key", "order-17").mustEnd(t, statusOK).mustSay(t, id)
	command(t, address, "doctor").mustEnd(t, statusOK).mustSay(t, "The store is fit", "schema", "indexes", "that must be settled: 1")
	command(t, address, "bench", "--duration", "100ms", "--callers", "1", "--json").mustEnd(t, statusOK).mustSay(t, `"records_left": 0`)
	command(t, address, "resolve", id[:shortID], "--happened", "--error", "ERROR", "--message", "closed", "--reason", "seen", "--by", "ann",
		"--yes").mustEnd(t, statusOK)
	command(t, address, "show", id, "--payload").mustEnd(t, statusOK).mustSay(t, "closed", "ann: seen")
	command(t, address, "forget", id, "--reason", "erase", "--yes").mustEnd(t, statusOK).mustSay(t, "is removed")
	command(t, address, "show", id).mustEnd(t, statusFailed).mustSay(t, "no record")

	wrong := strings.Replace(address, "root@", "ann:s3cr3t@", 1)
	command(t, wrong, "list").mustEnd(t, statusFailed).mustNotSay(t, "s3cr3t")
	command(t, wrong, "doctor").mustEnd(t, statusFailed).mustSay(t, "not fit", "the user or the password").mustNotSay(t, "s3cr3t")
	command(t, address, "doctor", "--table", "none").mustEnd(t, statusFailed).mustSay(t, "sqlstore.Migrate")
}
