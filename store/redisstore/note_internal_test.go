package redisstore

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// seedClaim is the claim of seedRecord.
func seedClaim() store.Claim {
	return store.Claim{
		Token: store.Token{1, 2, 3}, Fingerprint: store.Fingerprint{Scheme: 1, Sum: [32]byte{4, 5}}, Guarantee: store.AtLeastOnce,
		Lease: time.Second, MaxRun: time.Minute, Retention: week, Method: "/shop.v1.Orders/Create", ReadableKey: "order-7",
	}
}

func TestTheNoteOfAClaimIsTheOutcomeOfTheGoldenForm(t *testing.T) {
	t.Parallel()

	for _, note := range []string{"paid", ""} {
		claim := seedClaim()
		claim.Note = []byte(note)

		fresh, err := appendFresh(make([]byte, 0, freshSize(&claim)), fuzzedName, &claim, span(DefaultUnknownRetention))
		if err != nil {
			t.Fatal(err)
		}

		if got, want := hex.EncodeToString(fresh), goldenRecords()[store.Running]; got+hex.EncodeToString([]byte("paid")[len(note):]) != want {
			t.Errorf("with the note %q a claim is\n%s, want\n%s", note, got, want)
		}

		if cap(fresh) != len(fresh) {
			t.Errorf("with the note %q a claim has %d bytes in a buffer of %d", note, len(fresh), cap(fresh))
		}
	}
}

func TestACompletionThatItsClientMakesLeavesTheNoteOut(t *testing.T) {
	t.Parallel()

	const started = 1_700_000_000_000

	want, wantHead := counted(t, started)
	sent := time.Now()
	own := &receipt{
		name: fuzzedName, record: seedRecord(t, store.Running, "a note"), expires: started + int64(span(DefaultUnknownRetention)),
		decided: started, sent: sent,
	}

	got, head, _, ok := own.completed(&store.Completion{Token: store.Token{1, 2, 3}, Outcome: []byte("paid")}, sent.Add(1500*time.Millisecond))
	if !ok || string(got) != want || head != wantHead {
		t.Errorf("it is\n%x, with a head of %d bytes, want\n%x, with %d", got, head, want, wantHead)
	}
}
