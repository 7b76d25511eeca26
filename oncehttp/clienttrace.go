package oncehttp

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// traced reports whether the transport reports when it writes a request. Of the requests of other transports, nothing is known.
func (c *clientCall) traced() bool {
	_, ok := c.transport.base.(*http.Transport)

	return ok
}

// trace notes when a request may have left the client. Over HTTP/1.1 it cannot before its headers are complete. Over HTTP/2 an attempt can
// end while its request is being written, and the note would come too late. So there it may have left as soon as there is a connection.
func (c *clientCall) trace(wrote *atomic.Bool) *httptrace.ClientTrace {
	base, ok := c.transport.base.(*http.Transport)
	plain := ok && base.Protocols != nil && base.Protocols.UnencryptedHTTP2()

	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if plain || !speaksHTTP1(info.Conn, c.request.URL.Scheme) {
				wrote.Store(true)
			}
		},
		WroteHeaders: func() { wrote.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) { wrote.Store(true) },
	}
}

// speaksHTTP1 reports whether a connection certainly has HTTP/1.1, if the transport has no HTTP/2 without TLS.
func speaksHTTP1(conn net.Conn, scheme string) bool {
	if secure, ok := conn.(*tls.Conn); ok {
		return secure.ConnectionState().NegotiatedProtocol != "h2"
	}

	return scheme == "http"
}
