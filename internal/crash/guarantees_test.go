//go:build unix

package crash

import (
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

func TestF60TheStricterOfTwoGuaranteesHolds(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			for _, deploy := range []struct{ before, after onlyonce.Guarantee }{
				{onlyonce.AtMostOnce, onlyonce.AtLeastOnce},
				{onlyonce.AtLeastOnce, onlyonce.AtMostOnce},
			} {
				t.Run(deploy.before.String()+" before "+deploy.after.String(), func(t *testing.T) {
					t.Parallel()

					w := newWorld(t, on)
					first := w.start(t, serverConfig{Name: "first", Policy: mortal(deploy.before)})
					second := w.start(t, serverConfig{Name: "second", Policy: sound(deploy.after)}).dial(t)

					w.killAt(t, first, atCharged, payment())
					second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)

					if rec := w.record(t, theKey); !rec.Unknown || rec.Guarantee != deploy.before {
						t.Errorf("the record is %v under %v, want an unknown outcome under %v", rec.State, rec.Guarantee, deploy.before)
					}

					w.mustHave(t, theKey, 1, 1)
				})
			}
		})
	}
}
