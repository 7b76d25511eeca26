//go:build unix

package servers

import "testing"

func TestX(t *testing.T) {
	for r, p := range map[string]string{Valkey8: "valkey-server", Valkey9: "valkey-server", MySQL9: "mysqld", PostgreSQL18: "postgres"} {
		prog, err := Find(r, p)
		if err != nil {
			t.Error(err)
			continue
		}
		out, err := prog.Command("--version").CombinedOutput()
		t.Log(string(out), err)
	}
}
