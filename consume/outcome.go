package consume

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/onlyonce-go/onlyonce"
)

// The codes of recorded outcomes.
const (
	codeDone   = "OK"
	codeFailed = "ERROR"
)

// maxError bounds the text of an error that is recorded, in bytes.
const maxError = 4 << 10

// outcomeOf is what the engine records of the error of a handler.
func outcomeOf(err error) onlyonce.Outcome {
	if err == nil {
		return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: codeDone}
	}

	out := onlyonce.Outcome{Code: codeFailed, Err: err, KeepWrites: onlyonce.KeepsWrites(err)}
	out.Class, out.Marked = onlyonce.MarkedClass(err)

	if !out.Marked && errors.Is(err, onlyonce.ErrStepUsed) {
		out.Class = onlyonce.ClassDefinite // every run of this message fails like this
	}

	if out.Class == onlyonce.ClassDefinite {
		out.Body = []byte(shortened(err.Error(), maxError))
	}

	return out
}

// shortened returns the first bytes of a text. It cuts no character in two.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}

	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}

	return text[:most]
}

// oneLine returns the first bytes of a text, with a space for each character that is not printable.
func oneLine(text string, most int) string {
	return shortened(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}

		return ' '
	}, text), most)
}
