// Package canonicaljson converts JSON bodies to the canonical form of RFC 8785, so that package oncehttp treats bodies with the same
// content as the same request. The order of names, white space, and the notation of numbers and characters do not matter.
//
//	oncehttp.WithPolicy(oncehttp.Policy{Canonical: canonicaljson.Body})
//
// It is a module of its own, so that package oncehttp needs no other module.
package canonicaljson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/big"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// Body returns the canonical form of a JSON body. Use it as oncehttp.Policy.Canonical. The second result is false in these cases, and the
// body is then compared byte by byte:
//   - Content-Type is not application/json or a type that ends in +json, or the body has a Content-Encoding.
//   - The body is not JSON, an object has a name twice, or the body is nested more than 1000 deep.
//   - The body is not UTF-8, or has half of a pair of surrogates, such as \ud800 alone, or the character U+FFFD, which stands for both.
//   - A number is not exactly the decimal form of a double. RFC 8785 has only doubles: 9007199254740993 and 9007199254740992 would be the
//     same request.
func Body(header http.Header, body []byte) ([]byte, bool) {
	if !isJSON(header.Get("Content-Type")) || header.Get("Content-Encoding") != "" || checkNumbers(body) != nil {
		return nil, false
	}

	canonical, err := jcs.Transform(body)
	if err != nil || bytes.ContainsRune(canonical, utf8.RuneError) { // jcs writes U+FFFD for half of a pair
		return nil, false
	}

	return canonical, true
}

func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))

	return media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

var (
	errInexact  = errors.New("canonicaljson: a number is not exactly a double")
	errTrailing = errors.New("canonicaljson: data follows the value")
	errDeep     = errors.New("canonicaljson: the value is nested too deeply")
)

// mostDepth bounds the nesting of objects and lists, because jcs is recursive.
const mostDepth = 1000

// checkNumbers reports JSON that is malformed, nested too deeply, or has a number that a double does not represent.
func checkNumbers(body []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()

	for depth := 0; ; {
		token, err := decoder.Token()

		switch value := token.(type) {
		case json.Number:
			if !exact(value) {
				return errInexact
			}
		case json.Delim:
			if value == '{' || value == '[' {
				depth++
			} else {
				depth--
			}
		}

		switch {
		case err != nil:
			return err
		case depth > mostDepth:
			return errDeep
		case depth > 0:
			continue
		}

		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return errTrailing
		}

		return nil
	}
}

// exact reports whether no other number with as many digits is the same double. Numbers with up to 15 digits are exact, unless they are so
// near to 0 that a double has fewer digits. A longer number is exact if it is an integer that a double represents exactly.
func exact(number json.Number) bool {
	const digits, longest, smallestNormal = 15, 400, 0x1p-1022

	double, err := number.Float64()
	if err != nil || len(number) > longest {
		return false
	}

	mantissa, _, _ := strings.Cut(strings.ToLower(string(number)), "e")
	if significant := strings.TrimLeft(strings.NewReplacer("-", "", ".", "").Replace(mantissa), "0"); len(significant) <= digits {
		return significant == "" || math.Abs(double) >= smallestNormal
	}

	const most = 1 << 53

	whole, ok := new(big.Int).SetString(string(number), 10) // it refuses a fraction and an exponent

	return ok && whole.CmpAbs(big.NewInt(most)) <= 0
}
