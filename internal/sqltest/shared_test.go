//go:build unix

package sqltest

import (
	"strings"
	"testing"
)

func TestTheEnvironmentNamesTheServersOfSeveralProcesses(t *testing.T) {
	environment, end, err := Serve()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})

	kinds := map[string]kind{
		sharedPostgres.variable: postgres{}, sharedMariaDB.variable: mariadb{}, sharedMySQL.variable: mysql{},
	}

	for _, named := range environment {
		variable, addr, _ := strings.Cut(named, "=")
		s := &shared{kind: kinds[variable], variable: variable}

		t.Setenv(variable, addr)

		a, b := s.fresh(t), s.fresh(t)
		if a.Addr() != addr || b.Addr() != addr {
			t.Errorf("%s and %s are the servers, want %s", a.Addr(), b.Addr(), addr)
		}

		run(t, a.DB(t), "CREATE TABLE t (v int)")
		run(t, b.DB(t), "CREATE TABLE t (v int)")

		// The server belongs to somebody else.
		if err := s.end(); err != nil {
			t.Error(err)
		}

		run(t, b.DB(t), "INSERT INTO t VALUES (1)")
	}
}
