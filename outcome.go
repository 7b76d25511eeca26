package onlyonce

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/onlyonce-go/onlyonce/store"
)

// Outcome is how a run ended, as its transport sees it.
type Outcome struct {
	// Class says what it means for the key.
	Class Class
	// Body is what a duplicate needs to get the same answer. The engine does not look into it.
	Body []byte
	// Code names the outcome for people, such as OK or NOT_FOUND, in at most 255 bytes. It is what is left of an outcome
	// that is too large to store or that is unknown.
	Code string
	// Err is given to the duplicates in this process that were waiting for a run which was then released.
	Err error
	// KeepWrites lets what the handler has written in a single transaction commit together with a definite outcome that has an
	// Err. Without it, such writes are rolled back.
	KeepWrites bool
}

// The stored form of an outcome: format, kind, checksum, the length of the code, the code itself, the body. The checksum covers the
// storage key, so that an outcome which was swapped with another key's is noticed. Every later format keeps the place and
// the meaning of the first six bytes, so that a damaged record and one of a newer build can be told apart.
const (
	outcomeFormat = 1
	outcomeHeader = 7
	checksumStart = 2
	checksumEnd   = 6
)

type outcomeKind uint8

const (
	kindAnswer    outcomeKind = 1 // the body is the answer
	kindNotStored outcomeKind = 2 // the answer was too large to keep
	kindNote      outcomeKind = 3 // what is known about an unknown outcome
)

type storedOutcome struct {
	kind outcomeKind
	code string
	body []byte
}

func (o *storedOutcome) encode(key *store.Key) []byte {
	code := o.code[:min(len(o.code), 255)] // the length is written in one byte
	data := make([]byte, outcomeHeader, outcomeHeader+len(code)+len(o.body))
	data[0] = outcomeFormat
	data[1] = byte(o.kind)
	data[6] = byte(len(code)) //nolint:gosec // at most 255
	data = append(data, code...)
	data = append(data, o.body...)
	binary.BigEndian.PutUint32(data[checksumStart:], outcomeChecksum(key, data))

	return data
}

// answerOf is an answer in its stored form: without its body where that is over the policy's cap.
func (x *execution) answerOf(code string, body []byte) []byte {
	answer := storedOutcome{kind: kindAnswer, code: code, body: body}
	if len(body) > x.policy.MaxOutcome {
		answer.kind, answer.body = kindNotStored, nil
	}

	return answer.encode(&x.key)
}

func decodeOutcome(key *store.Key, data []byte) (storedOutcome, error) {
	if len(data) < outcomeHeader {
		return storedOutcome{}, fmt.Errorf("onlyonce: an outcome of %d bytes is cut short: %w", len(data), store.ErrUnreadable)
	}

	if binary.BigEndian.Uint32(data[checksumStart:]) != outcomeChecksum(key, data) {
		return storedOutcome{}, fmt.Errorf("onlyonce: the checksum of an outcome does not match its key and content: %w", store.ErrUnreadable)
	}

	if data[0] > outcomeFormat {
		return storedOutcome{}, fmt.Errorf("onlyonce: an outcome has format %d, this build knows %d: %w", data[0], outcomeFormat, store.ErrNewer)
	}

	out := storedOutcome{kind: outcomeKind(data[1])}
	end := outcomeHeader + int(data[6])

	if data[0] != outcomeFormat || out.kind < kindAnswer || out.kind > kindNote || end > len(data) {
		return storedOutcome{}, fmt.Errorf("onlyonce: an outcome has an impossible header: %w", store.ErrUnreadable)
	}

	out.code = string(data[outcomeHeader:end])
	out.body = data[end:]

	return out, nil
}

func outcomeChecksum(key *store.Key, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, key[:])
	sum = crc32.Update(sum, table, data[:checksumStart])

	return crc32.Update(sum, table, data[checksumEnd:])
}
