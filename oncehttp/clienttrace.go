package oncehttp

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// sending is what the transport has reported about the requests of an attempt.
type sending struct {
	asked atomic.Bool // for a connection
	wrote atomic.Bool // a part of a request may have been written
}

// mayHaveLeft reports whether a request may have left the client. A transport that has not asked for a connection reports nothing: it is no
// *http.Transport, or it has given the request to a protocol of RegisterProtocol.
func (s *sending) mayHaveLeft() bool { return s.wrote.Load() || !s.asked.Load() }

// trace notes when a request may have left the client. Over HTTP/1.1 it cannot before its headers are complete. Over HTTP/2 an attempt can
// end while its request is being written, and the note would come too late. So there it may have left as soon as there is a connection.
// Other transports may call some of the functions, and are not believed.
func (c *clientCall) trace(s *sending) *httptrace.ClientTrace {
	base, ok := c.transport.base.(*http.Transport)
	plain := ok && base.Protocols != nil && base.Protocols.UnencryptedHTTP2()

	return &httptrace.ClientTrace{
		GetConn: func(string) { s.asked.Store(ok) },
		GotConn: func(info httptrace.GotConnInfo) {
			if plain || !speaksHTTP1(info.Conn, c.request.URL.Scheme) {
				s.wrote.Store(true)
			}
		},
		WroteHeaders: func() { s.wrote.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) { s.wrote.Store(true) },
	}
}

// speaksHTTP1 reports whether a connection certainly has HTTP/1.1, if the transport has no HTTP/2 without TLS.
func speaksHTTP1(conn net.Conn, scheme string) bool {
	if secure, ok := conn.(*tls.Conn); ok {
		return secure.ConnectionState().NegotiatedProtocol != "h2"
	}

	return scheme == "http"
}
