package fingerprint

import "google.golang.org/protobuf/encoding/protowire"

// verbatim reports whether an encoding is known to be its own canonical form, as most encodings are. This is so if it has only scalars,
// strings, bytes, packed lists and such messages, sorted by number, and all lengths are in their shortest form. If it returns false, the
// encoding may still be canonical.
func verbatim(data []byte, p *plan, depth int) bool {
	if depth > MaxDepth {
		return false
	}

	for last := protowire.Number(0); len(data) > 0; {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 || number < last {
			return false
		}

		f := p.numbered(number)
		if f == nil || kind != f.element && f.treatment != packed {
			return false
		}

		size := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if size < 0 {
			return false
		}

		value := data[tag : tag+size]

		switch {
		case f.treatment == copied:
		case f.treatment == nested:
			content, ok := shortest(value)
			if !ok || !verbatim(content, f.message, depth+1) {
				return false
			}
		case f.treatment == packed && kind == protowire.BytesType && number > last && tag == protowire.SizeTag(number):
			if content, ok := shortest(value); !ok || len(content) == 0 {
				return false
			}
		default:
			return false
		}

		last, data = number, data[tag+size:]
	}

	return true
}

// shortest returns the content of a value, and whether its length is in the shortest form.
func shortest(value []byte) ([]byte, bool) {
	content, size := protowire.ConsumeBytes(value)

	return content, size == protowire.SizeBytes(len(content))
}
