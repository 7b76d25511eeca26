//go:build unix

package sqltest

import (
	"context"
	"testing"
)

func TestALostCommitIsCommitted(t *testing.T) {
	for _, kind := range kinds {
		for mode, params := range kind.modes {
			t.Run(kind.name+"/"+mode, func(t *testing.T) {
				proxy := NewProxy(t, kind.shared(t))
				db := proxy.DB(t, params)

				run(t, db, "CREATE TABLE t (v int)")

				lost := proxy.Next(LostReply, Starting("commit"))

				for i := range 2 {
					tx, err := db.BeginTx(t.Context(), nil)
					if err != nil {
						t.Fatal(err)
					}

					if _, err := tx.ExecContext(t.Context(), "INSERT INTO t VALUES ("+placeholder(proxy.Database)+")", i); err != nil {
						t.Fatal(err)
					}

					if err := tx.Commit(); (err != nil) != (i == 0) {
						t.Errorf("commit %d: %v", i, err)
					}
				}

				lost.Wait()
				holds(t, proxy.Database, 2)

				if n := proxy.Count(Starting("insert into t")); n != 2 || proxy.Count(Starting("COMMIT")) != 2 {
					t.Errorf("statements: %v", proxy.Statements())
				}
			})
		}
	}
}

func TestALostReplyOrRequestToOneStatement(t *testing.T) {
	for _, kind := range kinds {
		for mode, params := range kind.modes {
			t.Run(kind.name+"/"+mode, func(t *testing.T) {
				proxy := NewProxy(t, kind.shared(t))
				db := proxy.DB(t, params)

				run(t, db, "CREATE TABLE t (v int)")

				insert := "INSERT  INTO t\nVALUES (" + placeholder(proxy.Database) + ")"

				for i, fault := range []Fault{LostRequest, LostReply, Late} {
					armed := proxy.Next(fault, Starting("insert into t"))

					// A pool resends statements that pgx reports as not sent: all those of the simple protocol.
					conn, err := db.Conn(t.Context())
					if err != nil {
						t.Fatal(err)
					}

					if _, err := conn.ExecContext(t.Context(), insert, i); err == nil {
						t.Errorf("%v: no error", fault)
					}

					conn.Close()

					armed.Wait()

					if fault == Late {
						holds(t, proxy.Database, i-1)
						armed.MustDeliver()
					}

					holds(t, proxy.Database, i)
				}

				hung := proxy.Next(Hung, Starting("insert into t"))

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()

				// The call is cancelled after the server has replied.
				go func() {
					defer cancel()

					select {
					case <-hung.Happened():
					case <-ctx.Done():
					}
				}()

				if _, err := db.ExecContext(ctx, insert, 1); err == nil {
					t.Error("the hanging connection answers")
				}

				hung.Wait()
				holds(t, proxy.Database, 3)
			})
		}
	}
}
