package interceptor

import (
	"maps"
	"strings"

	"google.golang.org/grpc/metadata"
)

// Names of the metadata that the contract uses.
const (
	// KeyHeader carries the idempotency key of a call.
	KeyHeader = "idempotency-key"
	// StatusTrailer has the onlyonce.Status of a keyed call.
	StatusTrailer = "idempotency-status"
	// ReplayedHeader is "true" on a replay: in header and trailer with a response, in the trailer with an error. A replay must not exceed a
	// metadata limit that the first answer kept. If it would, it leaves out ReplayedHeader, ExecutedAtTrailer or RetentionTrailer.
	ReplayedHeader = "idempotent-replayed"
	// ExecutedAtTrailer is the time at which the replayed run ended: RFC 3339, UTC. It is missing if the store no longer has that time: see
	// Record.EndedAt in package store.
	ExecutedAtTrailer = "idempotency-executed-at"
	// RetentionTrailer is how long the answer to a keyed call is kept, in whole seconds. A recorded answer has the retention of its record.
	// Any other answer has the retention of the method. Without the trailer, the retention is the default of 24 hours.
	RetentionTrailer = "idempotency-retention"
	// PushbackTrailer is how long a client must wait before a retry, in milliseconds. A negative value forbids a retry. See gRFC A6:
	// https://github.com/grpc/proposal/blob/master/A6-client-retries.md.
	PushbackTrailer = "grpc-retry-pushback-ms"
	// AttemptHeader counts the earlier attempts of a logical call. It is 1 on the first retry, and missing on the first attempt.
	AttemptHeader = "x-retry-attempt"
)

// deniedMetadata lists metadata of a handler that belongs to a single call. It is neither stored nor replayed. Names that the contract or
// gRPC itself uses are never stored either: see metadataRules.storable.
func deniedMetadata() []string {
	return []string{
		AttemptHeader, "authorization", "date", "proxy-authenticate", "retry-after", "server-timing", "set-cookie",
		"traceparent", "tracestate", "www-authenticate",
	}
}

// sendable reports whether gRPC can send metadata of this name.
func sendable(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}

	return name != ""
}

// reserved reports whether the contract or gRPC itself uses a name.
func reserved(name string) bool {
	return strings.HasPrefix(name, "grpc-") || strings.HasPrefix(name, "idempotency-") ||
		name == ReplayedHeader || name == "content-type"
}

// withoutContract removes the metadata that only the interceptor may set. A handler may pass on the metadata of another service. The call
// would then have a wrong status, such as "released".
func withoutContract(md metadata.MD) metadata.MD {
	var foreign []string

	for name := range md {
		switch strings.ToLower(name) {
		case StatusTrailer, ReplayedHeader, ExecutedAtTrailer, RetentionTrailer:
			foreign = append(foreign, name)
		}
	}

	if len(foreign) == 0 {
		return md
	}

	kept := maps.Clone(md)
	for _, name := range foreign {
		delete(kept, name)
	}

	return kept
}

// singleValue returns the value if there is exactly one.
func singleValue(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}

	return values[0], true
}

// pair returns metadata of one value.
func pair(name, value string) metadata.MD { return metadata.MD{name: []string{value}} }
