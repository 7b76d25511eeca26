package onceconnect

import (
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/grpc/metadata"
)

// binarySuffix ends the names of metadata whose values are bytes. HTTP headers have them in base64.
const binarySuffix = "-bin"

// metadataOf returns headers as gRPC's metadata.
func metadataOf(headers ...http.Header) metadata.MD {
	size := 0
	for _, header := range headers {
		size += len(header)
	}

	md := make(metadata.MD, size)

	for _, header := range headers {
		for name, values := range header {
			if len(values) == 0 {
				continue
			}

			name = strings.ToLower(name)
			if strings.HasSuffix(name, binarySuffix) {
				values = decoded(values)
			}

			md[name] = append(slices.Clip(md[name]), values...)
		}
	}

	return md
}

// addTo adds gRPC's metadata to headers.
func addTo(header http.Header, md metadata.MD) {
	for name, values := range md {
		key := http.CanonicalHeaderKey(name)

		for _, value := range values {
			if strings.HasSuffix(name, binarySuffix) {
				value = connect.EncodeBinaryHeader([]byte(value))
			}

			header[key] = append(header[key], value)
		}
	}
}

// decoded returns the bytes of binary values. One header may have several, separated by commas. A value that is not base64 stays.
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
