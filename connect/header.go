package onceconnect

import (
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/headerkey"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// binarySuffix ends the names of binary metadata. HTTP headers have its values in base64.
const binarySuffix = "-bin"

// metadataOf returns headers as gRPC's metadata, or nil if there are none. The two may share their values: do not modify them in place.
func metadataOf(headers ...http.Header) metadata.MD {
	size := 0
	for _, header := range headers {
		size += len(header)
	}

	if size == 0 {
		return nil
	}

	md := make(metadata.MD, size)

	for _, header := range headers {
		for name, values := range header {
			if len(values) == 0 {
				continue
			}

			name = metadataName(name)
			if strings.HasSuffix(name, binarySuffix) {
				values = decoded(values)
			}

			if others := md[name]; len(others) > 0 {
				values = slices.Concat(others, values)
			}

			md[name] = slices.Clip(values)
		}
	}

	return md
}

// addTo adds copies of gRPC's metadata to headers.
func addTo(header http.Header, md metadata.MD) {
	for name, values := range md {
		key := headerName(name)

		for _, value := range values {
			if strings.HasSuffix(name, binarySuffix) {
				value = connect.EncodeBinaryHeader([]byte(value))
			}

			header[key] = append(header[key], value)
		}
	}
}

// takeKeys replaces the key of a request in its metadata by the key that the header means. It returns the header's values. The protocols
// of gRPC and gRPC-Web send metadata, so it does nothing for them.
func takeKeys(req connect.AnyRequest, md metadata.MD) (sent []string) {
	if req.Peer().Protocol != connect.ProtocolConnect {
		return nil
	}

	if sent = md[interceptor.KeyHeader]; len(sent) > 0 {
		md[interceptor.KeyHeader] = headerkey.Metadata(sent)
	}

	return sent
}

// keyHeader returns the values of the key header for the key in metadata. In the protocol of Connect, a server reads a header that begins
// with a quote as a string of RFC 8941. So a key that begins with a quote is written as such a string.
func keyHeader(req connect.AnyRequest, keys []string) []string {
	if req.Peer().Protocol == connect.ProtocolConnect && strings.HasPrefix(keys[0], `"`) {
		return []string{httprules.QuoteKey(keys[0])}
	}

	return keys
}

// metadataName returns the name of a header as gRPC writes it. The names that most requests have need no memory.
func metadataName(name string) string {
	switch name {
	case "Idempotency-Key":
		return interceptor.KeyHeader
	case "X-Retry-Attempt":
		return interceptor.AttemptHeader
	case "Accept-Encoding":
		return "accept-encoding"
	case "Connect-Protocol-Version":
		return "connect-protocol-version"
	case "Content-Length":
		return "content-length"
	case "Content-Type":
		return "content-type"
	case "User-Agent":
		return "user-agent"
	default:
		return strings.ToLower(name)
	}
}

// headerName returns the name of metadata as net/http writes it. The names of the contract need no memory.
func headerName(name string) string {
	switch name {
	case interceptor.StatusTrailer:
		return "Idempotency-Status"
	case interceptor.ReplayedHeader:
		return "Idempotent-Replayed"
	case interceptor.ExecutedAtTrailer:
		return "Idempotency-Executed-At"
	case interceptor.RetentionTrailer:
		return "Idempotency-Retention"
	default:
		return http.CanonicalHeaderKey(name)
	}
}

// decoded returns the bytes of binary values. One header may have several values, separated by commas. A value that is not base64 stays as
// it is.
func decoded(values []string) []string {
	made := make([]string, 0, len(values))

	for _, joined := range values {
		for value := range strings.SplitSeq(joined, ",") {
			if data, err := connect.DecodeBinaryHeader(strings.TrimSpace(value)); err == nil {
				value = string(data)
			}

			made = append(made, value)
		}
	}

	return made
}
