package redisstore_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
)

// exampleServer starts a server for an example. An example has no testing.TB.
func exampleServer() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "onlyonce-example")
	if err != nil {
		panic(err)
	}

	tb := &exampleTB{dir: dir}

	return redistest.Standalone(tb).URL(), tb.end
}

// exampleTB has the methods of testing.TB that redistest calls. It panics in place of a failure.
type exampleTB struct {
	testing.TB

	dir      string
	cleanups []func()
}

func (*exampleTB) Helper()                           {}
func (*exampleTB) Name() string                      { return "Example" }
func (*exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (tb *exampleTB) TempDir() string                { return tb.dir }
func (tb *exampleTB) Cleanup(cleanup func())         { tb.cleanups = append(tb.cleanups, cleanup) }

func (tb *exampleTB) end() {
	for _, cleanup := range slices.Backward(tb.cleanups) {
		cleanup()
	}

	_ = os.RemoveAll(tb.dir)
}
