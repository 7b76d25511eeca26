package oncehttp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// requestVersion is the version of the form in which a record keeps a request: version, method, URI, headers of the policy, body.
const requestVersion = 1

// encodeRequest returns the form in which a record keeps a request. Host is among the headers, because routes may belong to a host.
func encodeRequest(r *http.Request, headers []string, body []byte) []byte {
	fields := append(newHeaderSet(headers...).pick(r.Header), field{hostName, []string{r.Host}})

	data := appendText([]byte{requestVersion}, r.Method)
	data = appendText(data, r.URL.RequestURI())
	data = appendFields(data, fields)

	return append(data, body...)
}

// decodeRequest returns a request that a record has kept. The error matches store.ErrUnreadable or store.ErrNewer.
func decodeRequest(data []byte) (*http.Request, error) {
	switch {
	case len(data) == 0:
		return nil, unreadableRequest(errTruncated)
	case data[0] > requestVersion:
		return nil, fmt.Errorf("oncehttp: reading a kept request: it has version %d, this build reads %d: %w",
			data[0], requestVersion, store.ErrNewer)
	case data[0] != requestVersion:
		return nil, unreadableRequest(fmt.Errorf("version %d does not exist", data[0]))
	}

	in := reader{data: data[1:]}
	method, uri, header := in.text(), in.text(), in.header()

	if in.err != nil {
		return nil, unreadableRequest(in.err)
	}

	where, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, unreadableRequest(err)
	}

	r := &http.Request{
		Method: method, URL: where, RequestURI: uri, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: header.Get(hostName),
	}
	header.Del(hostName)

	return new(readBody).in(r, in.data), nil
}

func unreadableRequest(err error) error {
	return fmt.Errorf("oncehttp: reading a kept request: %w: %w", err, store.ErrUnreadable)
}

// recovery returns the recovery function for the records of a method whose calls are gone, or nil. The policy is that of the request that
// the record keeps. Without it, the policy is the one whose route has the name of the method, or the policy of all requests.
func (s *Server) recovery(method string) onlyonce.RecoverFunc {
	verb, pattern, _ := strings.Cut(method, " ")
	if methodName(verb, pattern) != method || !s.recovers() { // the method is not of HTTP
		return nil
	}

	return func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
		rt := s.routes.usual

		for _, name := range []string{method, pattern} {
			if own, ok := s.routes.named[name]; ok {
				rt = own

				break
			}
		}

		var r *http.Request

		if len(rec.Request) > 0 {
			kept, err := decodeRequest(rec.Request)
			if err != nil {
				return onlyonce.StillUnknown(), err
			}

			r = kept.WithContext(ctx)
			rt, _ = s.routes.of(r)
		}

		if rt.policy.Recover == nil {
			return onlyonce.StillUnknown(), onlyonce.ErrNoRecovery
		}

		defer removeFiles(r)

		return rt.policy.Recover(ctx, r, rec)
	}
}

// recovers reports whether any policy has a recovery function.
func (s *Server) recovers() bool {
	if s.routes.usual.policy.Recover != nil {
		return true
	}

	for _, rt := range s.routes.named {
		if rt.policy.Recover != nil {
			return true
		}
	}

	return false
}
