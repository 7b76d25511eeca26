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

// documented is what doc.go says that a user needs, on one server and besides in a cluster.
func documented(t *testing.T) (keys string, commands, cluster []string) {
	t.Helper()

	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(doc)) {
		rules, isCode := strings.CutPrefix(line, "//\t")

		switch words := strings.Fields(rules); {
		case isCode && strings.HasPrefix(rules, "~"):
			keys, commands = words[0], words[1:]
		case isCode && strings.HasPrefix(rules, "+"):
			cluster = words
		}
	}

	if keys == "" || len(commands) == 0 || len(cluster) == 0 {
		t.Fatalf("doc.go says %q, %q and %q", keys, commands, cluster)
	}

	return keys, commands, cluster
}

// allow makes a user who may do exactly this.
func allow(t *testing.T, servers []*redistest.Server, user, keys string, commands []string) {
	t.Helper()

	rules := append([]string{"reset", "on", ">secret", keys}, commands...)

	for _, server := range servers {
		if err := server.Client().ACLSetUser(t.Context(), user, rules...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// everything does all that a store can do, beginning with its construction.
func everything(ctx context.Context, url string, forget func() error) error {
	s, err := redisstore.Open(url, redisstore.WithTimeout(generous)) //nolint:contextcheck // its Check has a timeout of its own
	if err != nil {
		return err
	}
	defer s.Close()

	var errs []error

	for _, loaded := range []bool{false, true} {
		if !loaded {
			errs = append(errs, forget())
		}

		errs = append(errs, life(ctx, s)...)
	}

	for _, err := range s.ListUnknown(ctx) {
		errs = append(errs, err)
	}

	return errors.Join(errs...)
}

// life takes records through all that may become of them.
func life(ctx context.Context, s *redisstore.Store) (errs []error) {
	do := func(name string, res store.Result, err error) {
		if err == nil && !res.Applied {
			err = fmt.Errorf("the record is %v", res.Record.State)
		}

		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}

	for range 8 { // in several slots of a cluster
		short, kept, back := newClaim(), newClaim(), newClaim()
		short.Lease = time.Nanosecond

		for _, claim := range []*store.Claim{&short, &kept, &back} {
			res, err := s.Claim(ctx, *claim)
			do("claim", res, err)
		}

		res, err := s.Claim(ctx, short)
		do("copy", res, err)

		res, err = s.Renew(ctx, renewal(short))
		do("renewal", res, err)

		res, err = s.Release(ctx, release(back))
		do("release", res, err)

		res, err = s.Hold(ctx, hold(kept))
		do("hold", res, err)

		res, err = resolveCompleted(ctx, s, kept)
		do("resolution", res, err)

		res, err = s.Complete(ctx, completion(short, "paid"))
		do("completion", res, err)

		held := newClaim()
		res, err = s.Claim(ctx, held)
		do("claim", res, err)

		res, err = s.Hold(ctx, hold(held))
		do("hold", res, err)

		_, err = s.Lookup(ctx, short.Key)
		errs = append(errs, err)

		res, err = s.Forget(ctx, forgetting(held, true))
		do("forgetting", res, err)
	}

	return errs
}

// minimal proves that a user with some permissions can do everything, and without any of them not.
func minimal(t *testing.T, servers []*redistest.Server, keys string, commands []string, url func(user string) string) {
	t.Helper()

	forget := func() error {
		errs := make([]error, 0, len(servers))
		for _, server := range servers {
			errs = append(errs, server.Client().ScriptFlush(t.Context()).Err())
		}

		return errors.Join(errs...)
	}

	allow(t, servers, "service", keys, commands)

	if err := everything(t.Context(), url("service"), forget); err != nil {
		t.Errorf("with all that is documented: %v", err)
	}

	for i, command := range commands {
		if command == "+command" {
			continue // the client works without, and says so in its log
		}

		allow(t, servers, "lacking", keys, slices.Delete(slices.Clone(commands), i, i+1))

		if err := everything(t.Context(), url("lacking"), forget); err == nil {
			t.Errorf("nothing fails without %s", command)
		}
	}

	allow(t, servers, "lacking", "~other:*", commands)

	if err := everything(t.Context(), url("lacking"), forget); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("for other keys: %v", err)
	}
}

func TestAUserNeedsExactlyWhatIsDocumented(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	keys, commands, _ := documented(t)

	leaveAnEntryBehind(t, server.Client())
	minimal(t, []*redistest.Server{server}, keys, commands, func(user string) string {
		return "redis://" + user + ":secret@" + server.Addr()
	})
}

func TestAUserOfAClusterNeedsExactlyWhatIsDocumented(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)
	keys, commands, more := documented(t)

	minimal(t, cluster.Nodes(), keys, append(commands, more...), func(user string) string {
		return "redis+cluster://" + user + ":secret@" + cluster.Addrs()[0] + "?addr=" + cluster.Addrs()[1]
	})
}

// leaveAnEntryBehind puts a record into the index that is not there.
func leaveAnEntryBehind(t *testing.T, client *redis.Client) {
	t.Helper()

	key := newKey()

	if err := client.ZAdd(t.Context(), indexOf(key), redis.Z{Member: string(key[:]), Score: 1}).Err(); err != nil {
		t.Fatal(err)
	}
}
