package console

import (
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store"
)

// httpRequest formats the stored request of a record of package oncehttp. It reports whether the bytes are one.
func httpRequest(body []byte) (string, bool) {
	r, _, err := oncehttp.DecodeRecord(onlyonce.Record{Request: body})
	if err != nil || r == nil {
		return "", false
	}

	data, _ := io.ReadAll(r.Body) // which is in memory

	return httpText(r.Method+" "+r.URL.RequestURI()+"\r\nHost: "+r.Host, r.Header, data, nil), true
}

// httpAnswer formats the stored answer of a record of package oncehttp. It reports whether the bytes are one.
func httpAnswer(code string, body []byte) (string, bool) {
	_, answer, err := oncehttp.DecodeRecord(onlyonce.Record{Record: store.Record{State: store.Completed}, Code: code, Body: body})
	if err != nil || answer == nil {
		return "", false
	}

	line := strings.TrimSpace(code + " " + http.StatusText(answer.Status))

	return httpText(line, answer.Header, answer.Body, answer.Trailer), true
}

// httpText formats a message of HTTP.
func httpText(line string, header http.Header, body []byte, trailer http.Header) string {
	var b strings.Builder

	b.WriteString(line + "\r\n")
	_ = header.Write(&b)
	b.WriteString("\r\n")

	if utf8.Valid(body) {
		b.Write(body)
	} else {
		b.WriteString(dump(body))
	}

	if len(trailer) > 0 {
		b.WriteString("\r\n")
		_ = trailer.Write(&b)
	}

	lines := strings.Split(strings.ReplaceAll(b.String(), "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = escaped(lines[i])
	}

	return strings.Join(lines, "\n")
}
