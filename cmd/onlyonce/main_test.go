//go:build unix

package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// The test binary is also the command and a payment server, depending on this variable.
const (
	roleEnv    = "ONLYONCE_TEST_ROLE"
	roleCLI    = "cli"
	roleServer = "server"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})

	switch os.Getenv(roleEnv) {
	case roleCLI:
		main()
	case roleServer:
		os.Exit(serverMain())
	default:
		flag.Parse()
		// A closed go-redis pool that failed to connect checks once a second whether it is closed.
		goleak.VerifyTestMain(sqltest.Shared(m), goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	}
}

// printed is the output and the exit status of a command.
type printed struct {
	out, err string
	status   int
}

// command runs a command in this process, without a terminal.
func command(t *testing.T, address string, args ...string) printed {
	t.Helper()

	var out, err bytes.Buffer

	a := &app{
		in: strings.NewReader(""), out: &out, err: &err, width: defaultWidth,
		env: func(name string) string {
			if name == "ONLYONCE_STORE" {
				return address
			}

			return ""
		},
	}

	status := run(context.WithoutCancel(t.Context()), a, patient(args))

	return printed{out.String(), err.String(), status}
}

// mustEnd fails the test unless the exit status is status.
func (p printed) mustEnd(t *testing.T, status int) printed {
	t.Helper()

	if p.status != status {
		t.Fatalf("the exit status is %d, want %d\n%s\n%s", p.status, status, p.out, p.err)
	}

	return p
}

// mustSay fails the test unless the output contains each word.
func (p printed) mustSay(t *testing.T, words ...string) printed {
	t.Helper()

	for _, word := range words {
		if !strings.Contains(p.out+p.err, word) {
			t.Errorf("nothing says %q:\n%s\n%s", word, p.out, p.err)
		}
	}

	return p
}

// mustNotSay fails the test if the output contains a word.
func (p printed) mustNotSay(t *testing.T, words ...string) printed {
	t.Helper()

	for _, word := range words {
		if strings.Contains(p.out+p.err, word) {
			t.Errorf("something says %q:\n%s\n%s", word, p.out, p.err)
		}
	}

	return p
}
