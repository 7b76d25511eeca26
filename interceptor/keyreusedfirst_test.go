package interceptor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
)

// F76: a client that knows nothing of this package learns what became of the first request under a key.
func TestF76_KeyReusedHasTheStateOfTheFirstRequestOnTheWire(t *testing.T) {
	for first, handle := range map[string]handlerFunc{
		"completed": answering("paid"),
		"running":   after(time.Minute, answering("late")),
		"unknown":   failing(status.Error(codes.Internal, "charged, and crashed")),
		"released":  failing(onlyonce.NotExecuted(status.Error(codes.Aborted, "nothing was charged"))),
	} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, setup{server: policy(onlyonce.Policy{MaxRun: time.Hour})}, handle)
				running := w.payInBackground(t)

				synctest.Wait()

				a := w.call(withKey(t.Context(), "key"), otherPayment())
				if got := a.mustBe(t, keyReused).GetMetadata()["first"]; got != first {
					t.Errorf("first is %q, want %q", got, first)
				}

				open := first == "running" || first == "unknown"
				message := status.Convert(a.err).Message()

				if strings.Contains(message, "may have taken effect") != open || open && strings.Contains(message, "new key") {
					t.Errorf("first is %s, and the message is %q", first, message)
				}

				<-running
				w.mustHaveRun(t, 1)
			})
		})
	}
}
