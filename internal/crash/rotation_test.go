//go:build unix

package crash

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// seal returns a store that seals its records under the first of some keys, if there are any. Every process has the same secret for an id.
func seal(records store.Store, ids []string) (store.Store, error) {
	if len(ids) == 0 {
		return records, nil
	}

	keys := make([]*store.SealKey, 0, len(ids))

	for _, id := range ids {
		secret := sha256.Sum256([]byte(id))

		key, err := store.NewSealKey(id, secret[:])
		if err != nil {
			return nil, err
		}

		keys = append(keys, key)
	}

	ring, err := store.NewStaticKeys(keys[0], keys[1:]...)
	if err != nil {
		return nil, err
	}

	return store.Sealed(records, ring), nil
}

// mustBeSealed checks a record as read by an operator without the key.
func (w *world) mustBeSealed(t *testing.T, key, id string) {
	t.Helper()

	rec, _ := w.operator.Lookup(t.Context(), identity(key)) // the error is that it cannot be read
	if !bytes.Contains(rec.Outcome, []byte(id)) || bytes.Contains(rec.Outcome, []byte("attempt")) {
		t.Errorf("the store keeps %q of %s, want a text that is sealed under %s", rec.Outcome, key, id)
	}
}

func TestF46ServersBeforeAndAfterARotationOfKeysShareRecords(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, on)
			keeping := onlyonce.Policy{KeepRequest: 1_000}
			killable, sound := keeping.Over(mortal(onlyonce.AtMostOnce)), keeping.Over(sound(onlyonce.AtMostOnce))

			before := w.start(t, serverConfig{Name: "before", Policy: killable, Keys: []string{"2025"}})
			after := w.start(t, serverConfig{Name: "after", Policy: sound, Recovers: true, Keys: []string{"2026", "2025"}}).dial(t)
			older := before.dial(t)

			first := older.run(t, "first")
			first.mustSay(t, onlyonce.StatusExecuted)
			w.mustBeSealed(t, "first", "2025")

			// The newer server reads the records that the older one has sealed.
			replay := after.run(t, "first")
			replay.mustSay(t, onlyonce.StatusReplayed)
			replay.mustEqual(t, first)

			// The older server lacks the key of the newer one's records. It refuses the call and runs nothing.
			after.run(t, "second").mustSay(t, onlyonce.StatusExecuted)
			w.mustBeSealed(t, "second", "2026")
			older.run(t, "second").mustReject(t, onlyonce.ReasonRecordNewer)
			after.run(t, "second").mustSay(t, onlyonce.StatusReplayed)

			// The newer server reads the request that the older one has sealed and left behind when it died.
			before.endExpected.Store(true)
			older.call(t.Context(), theKey, poison()).mustBreak(t)
			before.waitKilled(t)
			w.mustBeSealed(t, theKey, "2025")

			eventually(t, "the lease has ended", func() bool {
				return after.call(t.Context(), theKey, poison()).reason() != onlyonce.ReasonInProgress
			})

			after.call(t.Context(), theKey, poison()).mustReject(t, onlyonce.ReasonOutcomeUnknown)

			for _, key := range []string{"first", "second"} {
				w.mustHave(t, key, 1, 1)
			}

			w.mustHave(t, theKey, 1, 0)
		})
	}
}
