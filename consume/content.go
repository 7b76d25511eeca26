package consume

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/onlyonce-go/onlyonce/store"
)

// The fingerprint schemes of messages.
const (
	schemeKeyAndData uint16 = 131
	schemeContent    uint16 = 132 // WithContent is set
)

// fingerprint is the digest of the content of a message.
func (h *handler) fingerprint(m *Message) store.Fingerprint {
	if h.content != nil {
		return store.Fingerprint{Scheme: schemeContent, Sum: sha256.Sum256(h.content(m))}
	}

	sum := sha256.New()
	sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(m.Key))))
	sum.Write(m.Key)
	sum.Write(m.Data)

	fp := store.Fingerprint{Scheme: schemeKeyAndData}
	sum.Sum(fp.Sum[:0])

	return fp
}

// messageVersion is the version of the form in which a record keeps a message.
const messageVersion = 1

var errMessage = errors.New("consume: the record keeps a message of another form")

// encodeMessage returns the form in which a record keeps a message: version, source, id, position, key, headers, data.
func encodeMessage(m *Message) []byte {
	data := []byte{messageVersion}

	for _, text := range []string{m.Source, m.ID, m.Position, string(m.Key)} {
		data = appendText(data, text)
	}

	data = binary.AppendUvarint(data, uint64(len(m.Headers)))

	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		values := m.Headers[name]
		data = appendText(data, name)
		data = binary.AppendUvarint(data, uint64(len(values)))

		for _, value := range values {
			data = appendText(data, value)
		}
	}

	return append(data, m.Data...)
}

func appendText(data []byte, text string) []byte {
	return append(binary.AppendUvarint(data, uint64(len(text))), text...)
}

// decodeMessage returns a message that a record has kept. It shares the memory of data.
func decodeMessage(data []byte) (*Message, error) {
	if len(data) == 0 || data[0] != messageVersion {
		return nil, errMessage
	}

	in := reader{rest: data[1:]}
	m := &Message{Source: in.text(), ID: in.text(), Position: in.text()}

	if key := in.text(); key != "" {
		m.Key = []byte(key)
	}

	if names := in.count(); names > 0 {
		m.Headers = make(map[string][]string)

		for range names {
			name := in.text()
			for range in.count() {
				m.Headers[name] = append(m.Headers[name], in.text())
			}

			if in.failed {
				break
			}
		}
	}

	m.Data = in.rest

	if in.failed {
		return nil, errMessage
	}

	return m, nil
}

// reader reads fields until one is malformed.
type reader struct {
	rest   []byte
	failed bool
}

// count reads a number of things that follow, each of at least one byte.
func (r *reader) count() int {
	n, size := binary.Uvarint(r.rest)
	if r.failed || size < 1 || n > uint64(len(r.rest[size:])) {
		r.failed = true

		return 0
	}

	r.rest = r.rest[size:]

	return int(n) //nolint:gosec // it is at most the length of a slice
}

func (r *reader) text() string {
	n := r.count()
	text := string(r.rest[:n])
	r.rest = r.rest[n:]

	return text
}
