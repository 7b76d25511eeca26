package fingerprint

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// errMalformed means that an encoding is invalid. Messages are encoded by this package, so it should never occur.
var errMalformed = errors.New("malformed encoding")

// message appends the canonical form of an encoded message.
func (w *work) message(form, data []byte, p *plan, depth int) ([]byte, error) {
	form, _, err := w.fields(form, data, p, 0, depth)

	return form, err
}

// fields appends the canonical form of the fields of a message or, if group is not zero, of the group of that number. It returns where they
// end. A group ends with its end tag, which is not appended. Most of an encoding is canonical already, and is copied in pieces.
//
// Each field is visited once, so the time is linear in the size of the request. Fields out of order are sorted when they are canonical. The
// end of a group is found when it is reached.
func (w *work) fields(form, data []byte, p *plan, group protowire.Number, depth int) ([]byte, int, error) {
	if depth > MaxDepth {
		return nil, 0, ErrTooDeep
	}

	var (
		start, sizes  = len(form), len(w.sizes)
		run           int // start of the run of the last field
		last, highest protowire.Number
		ordered       = true
		from          int // start of the data that is not copied yet
		err           error
	)

	for at := 0; ; {
		number, kind, tag := group, protowire.EndGroupType, 0 // the end of a message has no tag
		if at < len(data) || group != 0 {
			number, kind, tag = protowire.ConsumeTag(data[at:])
		}

		if tag < 0 || kind == protowire.EndGroupType && number != group {
			return nil, 0, errMalformed
		}

		if kind == protowire.EndGroupType {
			form = append(form, data[from:at]...)

			if !ordered {
				w.ended(len(form) - run)
				w.sort(pieces{form[start:], w.sizes[sizes:]}, highest)
			}

			w.sizes = w.sizes[:sizes]

			return form, at + tag, nil
		}

		if number != last {
			begin := len(form) + at - from
			if last != 0 {
				w.ended(begin - run)
			}

			ordered = ordered && number > last
			run, last, highest = begin, number, max(highest, number)
		}

		f := p.field(number, kind)

		if f != nil && f.treatment == copied {
			size := protowire.ConsumeFieldValue(number, kind, data[at+tag:])
			if size < 0 {
				return nil, 0, errMalformed
			}

			at += tag + size

			continue
		}

		form = append(form, data[from:at]...)

		if form, at, err = w.field(form, data, span{number, kind, at, at + tag, 0}, f, depth); err != nil {
			return nil, 0, err
		}

		from = at
	}
}

// span is the place of one occurrence of a field in an encoding. Start is its tag, value its value, and end the next field.
type span struct {
	number            protowire.Number
	kind              protowire.Type
	start, value, end int
}

// field appends the canonical form of a field whose end is not known yet, and returns the start of the next field. For a list or a map, it
// also reads the occurrences that follow.
func (w *work) field(form, data []byte, s span, f *field, depth int) ([]byte, int, error) {
	if s.kind == protowire.StartGroupType && (f == nil || f.treatment == delimited) {
		var p *plan
		if f != nil {
			p = f.message
		}

		form = protowire.AppendTag(form, s.number, protowire.StartGroupType)
		form, size, err := w.fields(form, data[s.value:], p, s.number, depth+1)

		return protowire.AppendTag(form, s.number, protowire.EndGroupType), s.value + size, err
	}

	size := protowire.ConsumeFieldValue(s.number, s.kind, data[s.value:])
	if size < 0 {
		return nil, 0, errMalformed
	}

	s.end = s.value + size

	if f == nil {
		return unknown(form, data[s.value:s.end], s.number, s.kind), s.end, nil
	}

	switch f.treatment {
	case nested:
		content, _ := protowire.ConsumeBytes(data[s.value:s.end])
		form = append(form, data[s.start:s.value]...)

		form, err := w.prefixed(form, content, f.message, depth+1)

		return form, s.end, err
	case packed:
		return w.list(form, data, s, f)
	case mapped:
		return w.mapping(form, data, s, f, depth)
	default: // dropped
		return form, s.end, nil
	}
}

// unknown appends a field that the message type does not have, and that is no group. Only its encoding is known: numbers and lengths are
// written in their shortest form, and everything else is copied.
func unknown(form, value []byte, number protowire.Number, kind protowire.Type) []byte {
	form = protowire.AppendTag(form, number, kind)

	switch kind {
	case protowire.VarintType:
		n, _ := protowire.ConsumeVarint(value)

		return protowire.AppendVarint(form, n)
	case protowire.BytesType:
		content, _ := protowire.ConsumeBytes(value)

		return protowire.AppendBytes(form, content)
	default:
		return append(form, value...)
	}
}

// prefixed appends the canonical form of an encoded message behind its length. The length is usually that of the encoding.
func (w *work) prefixed(form, data []byte, p *plan, depth int) ([]byte, error) {
	at := len(form)
	form = protowire.AppendVarint(form, uint64(len(data)))
	content := len(form)

	form, err := w.message(form, data, p, depth)
	if err != nil {
		return nil, err
	}

	return corrected(form, at, content, len(data)), nil
}

// corrected replaces the expected length in front of the content, if the content has another length.
func corrected(form []byte, at, content, expected int) []byte {
	if len(form)-content == expected {
		return form
	}

	var room [10]byte

	return slices.Replace(form, at, content, protowire.AppendVarint(room[:0], uint64(len(form)-content))...) //nolint:gosec // a length
}

// list appends the elements of a list in one packed piece, however they are encoded.
func (w *work) list(form, data []byte, s span, f *field) ([]byte, int, error) {
	at := len(form)

	for next, ok := s, true; ok; next, ok = following(data, s, f) {
		s = next
		value := data[s.value:s.end]

		if s.kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}

		form = append(form, value...)
	}

	if len(form) == at {
		return form, s.end, nil // an empty list is left out
	}

	var head [20]byte // a tag and a length

	prefix := protowire.AppendTag(head[:0], s.number, protowire.BytesType)
	prefix = protowire.AppendVarint(prefix, uint64(len(form)-at)) //nolint:gosec // a length

	return slices.Insert(form, at, prefix...), s.end, nil
}

// following returns the next occurrence of the same field, if it comes directly after this one.
func following(data []byte, s span, f *field) (span, bool) {
	number, kind, tag := protowire.ConsumeTag(data[s.end:])
	if tag < 0 || number != s.number || !f.suits(kind) {
		return span{}, false
	}

	size := protowire.ConsumeFieldValue(number, kind, data[s.end+tag:])
	if size < 0 {
		return span{}, false
	}

	return span{number, kind, s.end, s.end + tag, s.end + tag + size}, true
}

// mapping appends the entries of a map, sorted by key. The encoder sorts them already, unless the message encodes itself.
func (w *work) mapping(form, data []byte, s span, f *field, depth int) ([]byte, int, error) {
	sorted, end, err := inKeyOrder(data, s, f)
	if err != nil {
		return nil, 0, err
	}

	if sorted {
		for next, ok := s, true; ok; next, ok = following(data, next, f) {
			if form, err = w.entry(form, data[next.value:], s.number, f, depth); err != nil {
				return nil, 0, err
			}
		}

		return form, end, nil
	}

	begin := len(w.entries)

	for next, ok := s, true; ok; next, ok = following(data, next, f) {
		w.entries = append(w.entries, next.value)
	}

	w.sortEntries(data, begin, f.key)

	for i := begin; i < len(w.entries); i++ { // entries of inner maps are appended and removed behind
		if form, err = w.entry(form, data[w.entries[i]:], s.number, f, depth); err != nil {
			return nil, 0, err
		}
	}

	w.entries = w.entries[:begin]

	return form, end, nil
}

// sortEntries sorts entries by their keys.
func (w *work) sortEntries(data []byte, begin int, key protoreflect.Kind) {
	slices.SortFunc(w.entries[begin:], func(a, b int) int {
		first, _ := newEntry(data[a:], key)
		second, _ := newEntry(data[b:], key)

		return cmp.Or(first.compare(&second, key), cmp.Compare(a, b))
	})
}

// inKeyOrder reports whether the entries of a map are in the order of their keys, and where they end.
func inKeyOrder(data []byte, s span, f *field) (sorted bool, end int, err error) {
	var last entry

	sorted = true

	for next, ok := s, true; ok; next, ok = following(data, next, f) {
		e, err := newEntry(data[next.value:], f.key)
		if err != nil {
			return false, 0, err
		}

		sorted = sorted && (next == s || last.compare(&e, f.key) <= 0)
		last, end = e, next.end
	}

	return sorted, end, nil
}

// entry is one entry of a map: its key as it is encoded and as it is compared, and its value.
type entry struct {
	key, value []byte // with their tags
	text       []byte
	number     uint64
}

// entry appends one entry of a map, whose encoding begins with its length.
func (w *work) entry(form, data []byte, number protowire.Number, f *field, depth int) ([]byte, error) {
	e, err := newEntry(data, f.key)
	if err != nil {
		return nil, err
	}

	form = protowire.AppendTag(form, number, protowire.BytesType)
	at, expected := len(form), len(e.key)+len(e.value)
	form = protowire.AppendVarint(form, uint64(expected))
	content := len(form)
	form = append(form, e.key...)

	if f.message == nil {
		return append(form, e.value...), nil
	}

	_, kind, tag := protowire.ConsumeTag(e.value)
	if kind != protowire.BytesType {
		return nil, errMalformed
	}

	value, _ := protowire.ConsumeBytes(e.value[tag:])

	form, err = w.prefixed(append(form, e.value[:tag]...), value, f.message, depth+1)
	if err != nil {
		return nil, err
	}

	return corrected(form, at, content, expected), nil
}

// newEntry splits the entry at the start of data. The encoder writes the key and then the value, also if they are defaults.
func newEntry(data []byte, kind protoreflect.Kind) (e entry, err error) {
	data, _ = protowire.ConsumeBytes(data)

	number, typ, tag := protowire.ConsumeTag(data)
	if tag < 0 || number != 1 {
		return e, errMalformed
	}

	size := protowire.ConsumeFieldValue(number, typ, data[tag:])
	if size < 0 {
		return e, errMalformed
	}

	e.key, e.value = data[:tag+size], data[tag+size:]

	if value, _, size := protowire.ConsumeField(e.value); value != 2 || size != len(e.value) {
		return e, errMalformed
	}

	switch typ {
	case protowire.BytesType:
		e.text, _ = protowire.ConsumeBytes(e.key[tag:])
	case protowire.Fixed32Type:
		n, _ := protowire.ConsumeFixed32(e.key[tag:])
		e.number = uint64(n)

		if kind == protoreflect.Sfixed32Kind {
			e.number = uint64(int64(int32(n))) //nolint:gosec // compared as signed
		}
	case protowire.Fixed64Type:
		e.number, _ = protowire.ConsumeFixed64(e.key[tag:])
	default:
		e.number, _ = protowire.ConsumeVarint(e.key[tag:])

		if kind == protoreflect.Sint32Kind || kind == protoreflect.Sint64Kind {
			e.number = uint64(protowire.DecodeZigZag(e.number)) //nolint:gosec // compared as signed
		}
	}

	return e, nil
}

// compare orders keys: texts by their bytes, numbers as numbers, false before true.
func (e *entry) compare(other *entry, kind protoreflect.Kind) int {
	switch kind {
	case protoreflect.StringKind:
		return bytes.Compare(e.text, other.text)
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind,
		protoreflect.Sfixed32Kind, protoreflect.Sfixed64Kind:
		return cmp.Compare(int64(e.number), int64(other.number)) //nolint:gosec // newEntry converted them from int64
	default:
		return cmp.Compare(e.number, other.number)
	}
}
