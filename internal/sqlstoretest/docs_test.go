package sqlstoretest_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// sqlBlock is a block of SQL in a document, whose first line says what databases it is for.
var sqlBlock = regexp.MustCompile("(?s)```sql\n-- ([^\n]*)\n(.*?)```")

func TestStatementsForAdministratorsAreExecuted(t *testing.T) { //nolint:tparallel // each calls it
	text, err := os.ReadFile("../../docs/databases.md")
	if err != nil {
		t.Fatal(err)
	}

	blocks := sqlBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 6 || len(blocks) != strings.Count(string(text), "```sql") {
		t.Fatalf("%d blocks of SQL are found", len(blocks))
	}

	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		_ = specimens(t, s)

		for _, block := range blocks {
			if strings.Contains(block[1], k.dialect.String()) {
				execute(t, db, strings.TrimSpace(block[2])+"\n")
			}
		}

		if k.dialect == sqlstore.PostgreSQL {
			k.on(t, db, sqlstore.WithTable("payments_records"))
		}

		start(t, s, newClaim())
	})
}
