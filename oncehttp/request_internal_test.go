package oncehttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

// endless is a body without an end. It counts the bytes read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	if e.read > 1<<20 {
		return 0, errors.New("too much was read")
	}

	return len(p), nil
}

func TestNoMoreIsReadThanTheLimit(t *testing.T) {
	const limit = 1000

	body := new(endless)
	r := httptest.NewRequest(http.MethodPost, "/", body)

	if _, err := bodyOf(r, limit); !errors.Is(err, onlyonce.ReasonNotSupported) || body.read != limit+1 {
		t.Errorf("%v after %d bytes", err, body.read)
	}
}
