package oncehttp

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// DecodeRecord reads the request and the answer of a record that this package has written, for tools that show records. Either is nil if
// the record does not have it: most records have no request, see Policy.KeepRequest. The request has the headers that
// Policy.RequestHeaders names, and the host. The error matches store.ErrUnreadable or store.ErrNewer if the record is damaged, of another
// package, or of a newer build. The results share the memory of the record, so do not change them.
func DecodeRecord(rec onlyonce.Record) (*http.Request, *Answer, error) {
	var (
		request *http.Request
		answer  *Answer
		err     error
	)

	if len(rec.Request) > 0 {
		if request, err = decodeRequest(rec.Request); err != nil {
			return nil, nil, err
		}
	}

	if rec.State == store.Completed && !rec.NotStored {
		if answer, err = decodeAnswer(rec.Code, rec.Body); err != nil {
			return nil, nil, err
		}
	}

	return request, answer, nil
}

// decodeAnswer returns the answer that a record keeps, or nil if it keeps only the status.
func decodeAnswer(code string, body []byte) (*Answer, error) {
	p, err := decodePayload(body)

	switch {
	case err != nil:
		return nil, err
	case p.kind == keptNothing:
		return nil, nil //nolint:nilnil // no answer is no error
	case strconv.Itoa(p.status) != code:
		return nil, unreadableAnswer(fmt.Errorf("its code is %q and its status is %d", code, p.status))
	default:
		return &Answer{Status: p.status, Header: toHeader(p.header), Trailer: toHeader(p.trailer), Body: p.body}, nil
	}
}

// toHeader returns nil without fields.
func toHeader(fields []field) http.Header {
	if len(fields) == 0 {
		return nil
	}

	header := make(http.Header, len(fields))
	for _, f := range fields {
		header[f.name] = f.values
	}

	return header
}
