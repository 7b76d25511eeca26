package console

import (
	"testing"

	"go.uber.org/goleak"
)

// withBrowser ends the browser of the tests after them, and before anybody looks for what they have left behind.
type withBrowser struct{ *testing.M }

func (w withBrowser) Run() int {
	code := w.M.Run()
	stopChromium()

	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(withBrowser{m}) }
