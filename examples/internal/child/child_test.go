//go:build unix

package child_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/internal/child"
)

const command = "obey"

// TestMain makes the test binary a child if a test has started it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == command {
		if err := obey(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}

		os.Exit(0)
	}

	goleak.VerifyTestMain(m)
}

// obey listens, says the word that it was told, and waits.
func obey() error {
	var word string

	ctx, stop, err := child.Obey(context.Background(), &word)
	if err != nil {
		return err
	}
	defer stop()

	listener, err := child.Announce(os.Stdout)
	if err != nil {
		return err
	}
	defer listener.Close()

	fmt.Println(word)
	<-ctx.Done()

	return nil
}

func launch(t *testing.T) (*child.Process, context.Context) {
	t.Helper()

	ctx, fail := context.WithCancelCause(t.Context())
	t.Cleanup(func() { fail(nil) })

	p, err := child.Launch(ctx, "the child", command, "hello", io.Discard, fail)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(p.Kill)

	return p, ctx
}

func TestAChildPrintsItsAnswerAndStopsOnRequest(t *testing.T) {
	t.Parallel()

	p, ctx := launch(t)

	if line, err := p.Line(); line != "hello" || err != nil || !strings.HasPrefix(p.Addr, "127.0.0.1:") {
		t.Errorf("the child listens on %q and says %q, %v", p.Addr, line, err)
	}

	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}

	if cause := context.Cause(ctx); cause != nil {
		t.Errorf("a child that is stopped has ended by itself: %v", cause)
	}
}

func TestAChildEndsWithItsInput(t *testing.T) {
	t.Parallel()

	p, ctx := launch(t)

	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}

	<-ctx.Done()

	if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "the child has ended by itself") {
		t.Errorf("the cause is %v", cause)
	}
}

func TestAChildThatIsKilledHasNotEndedByItself(t *testing.T) {
	t.Parallel()

	p, ctx := launch(t)
	p.Kill()
	p.Kill()

	if cause := context.Cause(ctx); cause != nil {
		t.Errorf("the cause is %v", cause)
	}

	if err := p.Stop(t.Context()); err == nil {
		t.Error("a child that was killed ended well")
	}
}
