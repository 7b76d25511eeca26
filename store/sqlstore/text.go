package sqlstore

import "strings"

// Method and readable key are text, so that people can read and search them. Everything but printable ASCII, and the percent sign, is
// written as %XX, whatever the encoding of the database is.

const hexDigits = "0123456789ABCDEF"

func plain(c byte) bool { return c >= ' ' && c <= '~' && c != '%' }

func escape(s string) string {
	odd := 0

	for i := range len(s) {
		if !plain(s[i]) {
			odd++
		}
	}

	if odd == 0 {
		return s
	}

	var b strings.Builder

	b.Grow(len(s) + 2*odd)

	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&0xf])
		}
	}

	return b.String()
}

// unescape reverses escape. It returns an error for other texts.
func unescape(s []byte) (string, error) {
	var b strings.Builder

	b.Grow(len(s))

	for i := 0; i < len(s); i++ {
		if c := s[i]; plain(c) {
			b.WriteByte(c)

			continue
		}

		if s[i] != '%' || i+2 >= len(s) {
			return "", unreadable("its text is cut short")
		}

		high, low := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if c := byte(high<<4 | low); high >= 0 && low >= 0 && !plain(c) { //nolint:gosec // two digits
			b.WriteByte(c)
		} else {
			return "", unreadable("its text is not as it is written")
		}

		i += 2
	}

	return b.String(), nil
}
