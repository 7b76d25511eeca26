package console

import (
	"testing"

	"go.uber.org/goleak"
)

// withBrowser ends the browser after the tests, before the check for leaked goroutines.
type withBrowser struct{ *testing.M }

func (w withBrowser) Run() int {
	code := w.M.Run()
	stopChromium()

	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(withBrowser{m}) }
