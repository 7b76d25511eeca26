package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// sealer authenticates forms: which page showed them, to whom, and for which record.
type sealer struct{ secret []byte }

// sighting is a record of a store, as shown to a person.
type sighting struct {
	purpose, store, by string
	rec                *onlyonce.Record
}

const nanosLength = 8

// seal returns the hidden field of a form. It contains the time at which the record was read, and authenticates the rest.
func (s sealer) seal(what sighting) string {
	data := binary.BigEndian.AppendUint64(nil, uint64(what.rec.LookedUpAt.UnixNano()))

	return base64.RawURLEncoding.EncodeToString(append(data, s.sum(what)...))
}

// open checks a hidden field against the record as it is now. It returns the record with the time at which the page read it.
func (s sealer) open(text string, what sighting) (onlyonce.Record, bool) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) != nanosLength+sha256.Size {
		return onlyonce.Record{}, false
	}

	shown := *what.rec
	shown.LookedUpAt = time.Unix(0, int64(binary.BigEndian.Uint64(data))) //nolint:gosec // see seal
	what.rec = &shown

	return shown, hmac.Equal(data[nanosLength:], s.sum(what))
}

// sum authenticates the record, its state and the time of reading.
func (s sealer) sum(what sighting) []byte {
	rec := what.rec

	data, err := json.Marshal([]any{
		what.purpose, what.store, what.by, rec.ID, rec.Token, rec.Fence, rec.State, rec.Attempts,
		unixNano(rec.LastStart), unixNano(rec.EndedAt), unixNano(rec.LookedUpAt),
	})
	if err != nil {
		panic(err) // unreachable: these types can be encoded
	}

	mac := hmac.New(sha256.New, s.secret)
	mac.Write(data)

	return mac.Sum(nil)
}

func unixNano(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}

	return at.UnixNano()
}
