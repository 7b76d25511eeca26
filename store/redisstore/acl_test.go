package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// access is the access that docs/redis.md gives to a user.
type access struct {
	keys              string
	commands          []string
	database, cluster []string // besides, for another database than 0, and in a cluster
}

func documented(t *testing.T) (needed access) {
	t.Helper()

	page, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(page)) {
		_, rights, _ := strings.Cut(strings.ReplaceAll(line, `\|`, "|"), "`+")
		rights, _, _ = strings.Cut("+"+rights, "`")

		switch {
		case strings.HasPrefix(line, "~"):
			words := strings.Fields(line)
			needed.keys, needed.commands = words[0], words[1:]
		case strings.HasPrefix(line, "| a database other than 0 |"):
			needed.database = strings.Fields(rights)
		case strings.HasPrefix(line, "| a cluster | `+"):
			needed.cluster = strings.Fields(rights)
		}
	}

	if needed.keys == "" || len(needed.commands) == 0 || len(needed.database) == 0 || len(needed.cluster) == 0 {
		t.Fatalf("the page says %q", needed)
	}

	return needed
}

// allow creates a user with exactly this access.
func allow(t *testing.T, servers []*redistest.Server, user, keys string, commands []string) {
	t.Helper()

	rules := append([]string{"reset", "on", ">secret", keys}, commands...)

	for _, server := range servers {
		if err := server.Client().ACLSetUser(t.Context(), user, rules...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// everything does all that a store can do, beginning with its construction. It returns the first error.
func everything(ctx context.Context, url string, fresh func() store.Claim, forget func() error) error {
	s, err := redisstore.Open(url, redisstore.WithTimeout(generous)) //nolint:contextcheck // its Check has a timeout of its own
	if err != nil {
		return err
	}
	defer s.Close() //nolint:contextcheck // it has a timeout of its own

	if err := forget(); err != nil {
		return err
	}

	for range 8 { // the scripts are loaded after the first, and in several slots of a cluster
		if err := life(ctx, s, fresh); err != nil {
			return err
		}
	}

	for _, err := range s.ListUnknown(ctx) {
		if err != nil {
			return err
		}
	}

	_, err = s.Sweep(ctx)

	return err
}

// life takes records through all operations and states, up to the first error.
func life(ctx context.Context, s *redisstore.Store, fresh func() store.Claim) error {
	short, kept, back, held := fresh(), fresh(), fresh(), fresh()
	short.Lease = time.Nanosecond

	for _, step := range []struct {
		name string
		run  func() (store.Result, error)
	}{
		{"claim", func() (store.Result, error) { return s.Claim(ctx, short) }},
		{"another claim", func() (store.Result, error) { return s.Claim(ctx, kept) }},
		{"a third claim", func() (store.Result, error) { return s.Claim(ctx, back) }},
		{"copy", func() (store.Result, error) { return s.Claim(ctx, short) }},
		{"renewal", func() (store.Result, error) { return s.Renew(ctx, renewal(short)) }},
		{"release", func() (store.Result, error) { return s.Release(ctx, release(back)) }},
		{"hold", func() (store.Result, error) { return s.Hold(ctx, hold(kept)) }},
		{"resolution", func() (store.Result, error) { return resolveCompleted(ctx, s, kept) }},
		{"completion", func() (store.Result, error) { return s.Complete(ctx, completion(short, "paid")) }},
		{"a fourth claim", func() (store.Result, error) { return s.Claim(ctx, held) }},
		{"another hold", func() (store.Result, error) { return s.Hold(ctx, hold(held)) }},
		{"forgetting", func() (store.Result, error) { return s.Forget(ctx, forgetting(held, true)) }},
	} {
		res, err := step.run()
		if err == nil && !res.Applied {
			err = fmt.Errorf("the record is %v", res.Record.State)
		}

		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}

	_, err := s.Lookup(ctx, short.Key)

	return err
}

// minimal proves that a user with some permissions can do everything, and without any of them not.
func minimal(t *testing.T, servers []*redistest.Server, keys string, commands []string, fresh func() store.Claim, url string) {
	t.Helper()

	forget := func() error {
		errs := make([]error, 0, len(servers))
		for _, server := range servers {
			errs = append(errs, server.Client().ScriptFlush(t.Context()).Err())
		}

		return errors.Join(errs...)
	}
	try := func(user string) error {
		return everything(t.Context(), strings.Replace(url, "user", user, 1), fresh, forget)
	}

	allow(t, servers, "service", keys, commands)

	if err := try("service"); err != nil {
		t.Errorf("with all that is documented: %v", err)
	}

	for i, command := range commands {
		allow(t, servers, "lacking", keys, slices.Delete(slices.Clone(commands), i, i+1))

		// Failures in the background appear only in the servers' logs.
		if err := try("lacking"); err == nil && !refused(t, servers, command) {
			t.Errorf("nothing is refused without %s", command)
		}
	}

	allow(t, servers, "lacking", "~other:*", commands)

	if err := try("lacking"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("for other keys: %v", err)
	}
}

// refused reports whether a server has refused a command that a rule allows.
func refused(t *testing.T, servers []*redistest.Server, rule string) bool {
	t.Helper()

	return slices.ContainsFunc(servers, func(server *redistest.Server) bool {
		entries, err := server.Client().ACLLog(t.Context(), 100).Result()
		if err != nil {
			t.Fatal(err)
		}

		return slices.ContainsFunc(entries, func(entry *redis.ACLLogEntry) bool {
			return entry.Username == "lacking" && "+"+strings.ToLower(entry.Object) == rule
		})
	})
}

func TestF89AUserNeedsExactlyWhatIsDocumented(t *testing.T) {
	t.Parallel()

	needed := documented(t)

	for name, tt := range map[string]struct {
		database int
		commands []string
	}{
		"the database 0":   {0, needed.commands},
		"another database": {3, slices.Concat(needed.commands, needed.database)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			server := redistest.Standalone(t)
			client := redis.NewClient(&redis.Options{Addr: server.Addr(), DB: tt.database})

			defer client.Close()

			leaveAnEntryBehind(t, client)
			minimal(t, []*redistest.Server{server}, needed.keys, tt.commands, newClaim,
				fmt.Sprintf("redis://user:secret@%s/%d", server.Addr(), tt.database))
		})
	}
}

func TestF89AUserOfAClusterNeedsExactlyWhatIsDocumentedWhileASlotMoves(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)
	needed := documented(t)
	slot := aSlot()
	claims := 0

	cluster.Migrate(slot, cluster.OtherMaster(slot))
	minimal(t, cluster.Nodes(), needed.keys, slices.Concat(needed.commands, needed.cluster), func() store.Claim {
		claims++
		if claims%3 == 0 {
			return claimIn(slot)
		}

		return newClaim()
	}, "redis+cluster://user:secret@"+cluster.Addrs()[0]+"?addr="+cluster.Addrs()[1])
}

// leaveAnEntryBehind puts a record into the index that is not there.
func leaveAnEntryBehind(t *testing.T, client *redis.Client) {
	t.Helper()

	key := newKey()

	if err := client.ZAdd(t.Context(), indexOf(key), redis.Z{Member: string(key[:]), Score: 1}).Err(); err != nil {
		t.Fatal(err)
	}
}
