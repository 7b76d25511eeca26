package redisstore

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

// goldenRecords are the records of seedRecord in version 1 of the stored form. They may change only with the version.
func goldenRecords() map[store.State]string {
	const (
		seal     = "01322a30ea" // and the version
		owner    = "01020300000000000000000000000000000000010000000100009a7ec8000000000000000000000003e8"
		open     = "00000000ee480000240c8400" // not part of a completed record
		identity = "00010405000000000000000000000000000000000000000000000000000000000000001600072f73686f702e76312e" +
			"4f72646572732f4372656174656f726465722d37"
		outcome = "70616964"
	)

	return map[store.State]string{
		store.Running:   seal + "1b35" + "0122" + owner + open + identity + outcome,
		store.Unknown:   seal + "fc01" + "0202" + owner + open + identity + outcome,
		store.Released:  seal + "fcfc" + "0302" + owner + open + identity + outcome,
		store.Completed: seal + "2063" + "0402" + owner + identity + outcome,
	}
}

func TestTheStoredFormDoesNotChange(t *testing.T) {
	t.Parallel()

	for state, golden := range goldenRecords() {
		if got := hex.EncodeToString([]byte(seedRecord(t, state, "paid"))); got != golden {
			t.Errorf("%v is\n%s, want\n%s", state, got, golden)
		}
	}
}

func TestTheScriptsReadAndWriteTheGoldenForm(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s := opened(t, server)

	key := store.Key([]byte(fuzzedName[len(DefaultPrefix):]))

	for state, golden := range goldenRecords() {
		data, err := hex.DecodeString(golden)
		if err != nil {
			t.Fatal(err)
		}

		if err := server.Client().Set(t.Context(), fuzzedName, data, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}

		res, err := s.Lookup(t.Context(), key)
		if err != nil || res.Record.State != state {
			t.Errorf("a golden %v is read as %+v, %v", state, res.Record, err)
		}

		if state != store.Unknown {
			continue
		}

		done, err := s.Complete(t.Context(), store.Completion{Key: key, Token: res.Record.Token, Outcome: []byte("paid")})
		if err != nil || !done.Applied || done.Record.Retention != week || done.Record.ExpiresAt.Sub(done.Now) != week {
			t.Errorf("completing it returned %+v, %v", done, err)
		}

		want, err := hex.DecodeString(goldenRecords()[store.Completed])
		if err != nil {
			t.Fatal(err)
		}

		got := []byte(server.Client().Get(t.Context(), fuzzedName).Val())

		// The end is the time of the test, and the check covers it.
		for _, data := range [][]byte{got, want} {
			clear(data[checkStart:stateStart])
			clear(data[timesStart+2*timeSize : aliveStart])
		}

		// Both have the life of the seed, which a fresh record gets.
		if !bytes.Equal(got, want) {
			t.Errorf("it is completed as\n%x, want\n%x", got, want)
		}
	}
}

// opened is a store on a server.
func opened(t *testing.T, server *redistest.Server, opts ...Option) *Store {
	t.Helper()

	s, err := Open(server.URL(), append(opts, WithTimeout(10*time.Second))...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	return s
}
