package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// isHTTP reports whether package oncehttp makes records of the method, such as "POST" and "POST /payments".
func isHTTP(method string) bool {
	verb, route, routed := strings.Cut(method, " ")

	switch verb {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions,
		http.MethodTrace, http.MethodConnect:
		return true
	default:
		return routed && verb == strings.ToUpper(verb) && strings.Contains(route, "/")
	}
}

// httpRequest returns the stored request of a record of package oncehttp.
func httpRequest(rec *onlyonce.Record) *payload {
	r, _, err := oncehttp.DecodeRecord(*rec)
	if err != nil || r == nil {
		return &payload{Bytes: rec.Request} // of something else with such a method
	}

	body, _ := io.ReadAll(r.Body) // which is in memory
	p := httpContent(r.Header, body)
	p.Line = r.Method + " " + r.URL.RequestURI()

	if r.Host != "" {
		p.Header["Host"] = []string{r.Host} // r has a map of its own
	}

	return p
}

// httpAnswer returns the stored answer of a record of package oncehttp.
func httpAnswer(rec *onlyonce.Record) *payload {
	_, answer, err := oncehttp.DecodeRecord(*rec)
	if err != nil || answer == nil {
		return &payload{Code: rec.Code, Bytes: rec.Body} // of something else with such a method
	}

	p := httpContent(answer.Header, answer.Body)
	p.Code, p.Trailer = rec.Code, answer.Trailer

	return p
}

// httpContent returns headers and a body.
func httpContent(header http.Header, body []byte) *payload {
	if strings.Contains(header.Get("Content-Type"), "json") && json.Valid(body) {
		return &payload{Header: header, JSON: jsonText(indented(body))}
	}

	return &payload{Header: header, Bytes: body}
}

// httpFinding returns the finding for a record of package oncehttp.
func (f *answerFlags) httpFinding(a *app) (onlyonce.Finding, error) {
	if f.raw == "" {
		return onlyonce.Finding{}, usagef("the record is of an HTTP request: give the whole answer in --raw @FILE, " +
			"with status line, headers and body, as curl -i prints it")
	}

	data, err := a.text(f.raw)
	if err != nil {
		return onlyonce.Finding{}, err
	}

	answer, err := parseAnswer(data)
	if err != nil {
		return onlyonce.Finding{}, fmt.Errorf("--raw: the bytes are not an HTTP answer: %w", err)
	}

	return oncehttp.FindingOf(answer), nil
}

// parseAnswer parses an answer in the form of HTTP/1.1. The body is everything behind the empty line, because curl prints it without its
// transfer encoding.
func parseAnswer(data []byte) (oncehttp.Answer, error) {
	head, body, found := bytes.Cut(data, []byte("\r\n\r\n"))
	if !found || bytes.Contains(head, []byte("\n\n")) {
		head, body, _ = bytes.Cut(data, []byte("\n\n"))
	}

	line, fields, _ := bytes.Cut(head, []byte("\n"))

	status, err := parseStatus(string(line))
	if err != nil {
		return oncehttp.Answer{}, err
	}

	fields = append(bytes.Clone(bytes.TrimRight(fields, "\r\n")), "\r\n\r\n"...)
	reader := textproto.NewReader(bufio.NewReader(bytes.NewReader(fields)))

	header, err := reader.ReadMIMEHeader()
	if err != nil {
		return oncehttp.Answer{}, err
	}

	return oncehttp.Answer{Status: status, Header: http.Header(header), Body: body}, nil
}

// parseStatus returns the status in a status line.
func parseStatus(line string) (int, error) {
	const lowest, highest = 200, 999

	words := strings.Fields(line)
	if len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/") {
		return 0, errors.New("the first line is not a status line, such as HTTP/1.1 201 Created")
	}

	status, err := strconv.Atoi(words[1])
	if err != nil || status < lowest || status > highest {
		return 0, fmt.Errorf("the status is %q: use %d to %d", words[1], lowest, highest)
	}

	return status, nil
}
